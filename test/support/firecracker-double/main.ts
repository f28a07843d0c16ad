// A process that is to its callers what a `firecracker` is: see README.md. Arguments: our own, `--`, Firecracker's.
import { once } from 'node:events';
import type { Server } from 'node:net';
import { parseArgs } from 'node:util';
import { Api } from './api.ts';
import { documentVersion } from './document.ts';
import { Fault } from './fault.ts';
import { bootGuest } from './guest.ts';
import { createApiServer } from './http.ts';
import { createVsock } from './vsock.ts';

/** FcExitCode of src/vmm/src/lib.rs. */
const exitCodes = { generic: 1, badArguments: 153 } as const;
/** wire.h of the guest's agent. */
const agentPort = 1024;
/** Beside the VM's own files, in the working folder: the ones above it may be closed to us. */
const ownFolder = 'double';

const separator = process.argv.indexOf('--');
const { values: own } = parseArgs({
  args: process.argv.slice(2, separator),
  options: {
    version: { type: 'string', default: documentVersion },
    'tsc-tool': { type: 'string', default: '' },
    kernels: { type: 'string', default: '' },
    /** Ends like that in the middle of InstanceStart. */
    'dies-at-start': { type: 'boolean', default: false },
  },
});

/** As the logger writes: logging.rs. */
const log = (id: string, text: string): void => {
  const time = new Date().toISOString().replace('Z', '000000');
  process.stdout.write(`${time} [${id}:main] ${text}\n`);
};

const exit = (id: string, code: number): never => {
  log(
    id,
    code === 0
      ? 'Firecracker exiting successfully. exit_code=0'
      : `Firecracker exiting with error. exit_code=${String(code)}`,
  );
  process.exit(code);
};

const parse = () => {
  try {
    return parseArgs({
      args: process.argv.slice(separator + 1),
      options: {
        id: { type: 'string', default: 'anonymous-instance' },
        'api-sock': { type: 'string', default: '/run/firecracker.socket' },
        version: { type: 'boolean', default: false },
        // By these the jailer tells when it began: exec_command() of its env.rs.
        'start-time-us': { type: 'string' },
        'start-time-cpu-us': { type: 'string' },
        'parent-cpu-time-us': { type: 'string' },
      },
    }).values;
  } catch (error) {
    log('anonymous-instance', `Arguments parsing error: ${String(error)}`);
    return exit('anonymous-instance', exitCodes.badArguments);
  }
};

const { id, 'api-sock': apiSocket, version: isAsked, 'parent-cpu-time-us': inJail } = parse();
if (isAsked) {
  process.stdout.write(`Firecracker v${own.version}\n`);
  process.exit(0);
}
// validate_instance_id() of vmm_config/instance_info.rs and utils/validators.rs.
if (!/^[A-Za-z0-9-]{1,64}$/.test(id)) {
  log(id, `Invalid instance ID: ${id}`);
  exit(id, exitCodes.generic);
}
log(id, `Running Firecracker v${own.version}`);

/** Where a file is there already it is not opened, whoever made it. */
const listen = async (server: Server, path: string, fault: string): Promise<void> => {
  server.listen(path);
  await once(server, 'listening').catch((error: unknown) => {
    throw new Fault(`${fault} (${(error as NodeJS.ErrnoException).code ?? ''})`);
  });
};

/** The double of the jailer changes no root: an absolute path is taken from the jail, which is the working folder. */
const inJailed = (body: string | undefined): string | undefined =>
  body?.replaceAll(/"(\w+_path|path_on_host)":\s*"\//g, '"$1":"./');

const [major = 0, minor = 0] = own.version.split('.').map(Number);
const api: Api = new Api(
  { id, version: own.version, minor: major > 1 ? Number.MAX_SAFE_INTEGER : minor },
  {
    boot: async (machine, from) => {
      if (own['dies-at-start']) process.kill(process.pid, 'SIGKILL');
      const guest = await bootGuest(machine, {
        folder: ownFolder,
        tscTool: own['tsc-tool'],
        kernels: own.kernels,
        from,
      });
      void guest.ended.then((code) => exit(id, code === 0 ? 0 : exitCodes.generic));
      return guest;
    },
    end: () => exit(id, exitCodes.generic),
    listenVsock: (path) =>
      listen(
        createVsock(agentPort, () => api.openPorts()),
        path,
        'Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: Address in use',
      ),
  },
);
try {
  await listen(
    createApiServer((request) =>
      api.serve(inJail === undefined ? request : { ...request, body: inJailed(request.body) }),
    ),
    apiSocket,
    `Failed to open the API socket at: ${apiSocket}. Check that it is not already used.`,
  );
} catch (error) {
  log(id, `RunWithApiError error: ${error instanceof Error ? error.message : ''}`);
  exit(id, exitCodes.generic);
}
log(id, `Listening on API socket ("${apiSocket}").`);
