import { spawn, type ChildProcess } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { DaemonStatus, VmDetails, VmSummary } from '../../../core/api/contract/types.ts';
import { isProcessAlive, processIdentity } from '../../../core/host/process-identity.ts';
import { endProcesses, leftovers, type Traces } from './leftovers.ts';
import { copyProduct } from './product.ts';
import { pollUntil } from './poll.ts';
import { useVmm } from './vmm.ts';
import { runProgram, type Outcome, type RunOptions } from './run-program.ts';

/**
 * One daemon of the test's own with everything around it: `await using world = await createWorld()`, or
 * `dispose()` in afterAll. The daemon starts with the first call of `cli`.
 */
export interface World extends AsyncDisposable {
  /** Short, so that sockets fit below it; goes with the world. */
  readonly root: string;
  readonly stateDirectory: string;
  readonly runtimeDirectory: string;
  readonly configPath: string;
  readonly socketPath: string;
  /** The copied product: bin/banger, dist/. */
  readonly product: string;
  readonly env: Readonly<Record<string, string>>;
  /** Runs `banger ARGS…` to its end, whatever its exit code. Standard input is empty unless given. */
  cli(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** The same where anything but exit code 0 is the test's failure. @returns standard output, trimmed */
  ok(args: readonly string[], options?: RunOptions): Promise<string>;
  /** `banger ARGS…` with three pipes, for tests that meddle with it. */
  cliSpawn(args: readonly string[], env?: Readonly<Record<string, string>>): ChildProcess;
  /** `sh -c SCRIPT` in a running VM. @returns its standard output, trimmed */
  guest(vm: string, script: string): Promise<string>;
  show(vm: string): Promise<VmDetails>;
  list(): Promise<VmSummary[]>;
  status(): Promise<DaemonStatus>;
  /** SIGKILL, and returns when it is gone: until then its socket takes calls that nobody answers. */
  killDaemon(): Promise<DaemonStatus>;
  /** One call on the daemon's socket; it starts none. */
  api(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  /** Takes effect when the next daemon starts. */
  writeConfig(toml: string): Promise<void>;
  /** What of this world's daemon is on the host now. */
  traces(): Promise<Traces>;
  /** Deletes the VMs, stops the daemon, and fails the test where anything is left on the host. */
  dispose(): Promise<void>;
}

export interface WorldOptions {
  /** config.toml; small VMs where absent. */
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Enough for a guest, and three of them at once still boot well on two cores. */
export const smallVms = '[defaults]\nvcpus = 1\nmemory = "512M"\n';

export const createWorld = async (options: WorldOptions = {}): Promise<World> => {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'bge-')));
  const stateDirectory = join(root, 's');
  const runtimeDirectory = join(root, 'r');
  const configPath = join(root, 'c', 'config.toml');
  const socketPath = join(runtimeDirectory, 'banger.sock');
  const product = join(root, 'p');
  const program = await copyProduct(product);
  const configure = await useVmm(product, join(root, 'f'));
  await mkdir(join(root, 'c'));
  const env = {
    ...ownEnvironment(),
    ...options.env,
    BANGER_CONFIG: configPath,
    BANGER_STATE_DIR: stateDirectory,
    BANGER_RUNTIME_DIR: runtimeDirectory,
  };
  let isDisposed = false;

  const cli: World['cli'] = (args, run = {}) =>
    runProgram(program, args, { ...run, env: { ...env, ...run.env } });
  const ok: World['ok'] = async (args, run) => {
    const outcome = await cli(args, run);
    if (outcome.code !== 0)
      throw new Error(
        `banger ${args.join(' ')}: exit code ${outcome.code}\n${outcome.stdout}${outcome.stderr}`,
      );
    return outcome.stdout.trim();
  };
  const list = async (): Promise<VmSummary[]> =>
    JSON.parse(await ok(['vm', 'list', '--json'])) as VmSummary[];
  const traces = async (): Promise<Traces> => ({
    instance: await instanceOf(stateDirectory),
    folders: [root],
  });

  const status = async (): Promise<DaemonStatus> =>
    JSON.parse(await ok(['daemon', 'status', '--json'])) as DaemonStatus;
  const killDaemon = async (): Promise<DaemonStatus> => {
    const killed = await status();
    const identity = await processIdentity(killed.pid);
    process.kill(killed.pid, 'SIGKILL');
    await pollUntil('the end of the killed daemon', 10_000, async () =>
      identity === undefined || !(await isProcessAlive(identity)) ? true : undefined,
    );
    return killed;
  };

  const close = async (): Promise<void> => {
    const names = (await list()).map(({ name }) => name);
    if (names.length > 0) await ok(['vm', 'delete', '--force', ...names]);
    await ok(['daemon', 'stop']);
  };
  const dispose = async (): Promise<void> => {
    if (isDisposed) return;
    isDisposed = true;
    // A test may leave a config.toml that no daemon starts with; the VMs are there all the same.
    await writeFile(configPath, configure(options.config ?? smallVms));
    const failure = await (async () => {
      if (await exists(stateDirectory)) await close();
    })().catch((error: unknown) => error);
    const left = await leftovers(await traces());
    endProcesses(left);
    const log = left.length === 0 && failure === undefined ? '' : await tail(stateDirectory);
    await rm(root, { recursive: true, force: true });
    if (failure !== undefined || left.length > 0)
      throw new Error(`left on the host:\n${left.join('\n')}\n${log}`, { cause: failure });
  };

  const world: World = {
    root,
    stateDirectory,
    runtimeDirectory,
    configPath,
    socketPath,
    product,
    env,
    cli,
    ok,
    cliSpawn: (args, more = {}) =>
      spawn(program, args, { env: { ...env, ...more }, stdio: ['pipe', 'pipe', 'pipe'] }),
    guest: (vm, script) => ok(['vm', 'exec', vm, '--', 'sh', '-c', script]),
    show: async (vm) => JSON.parse(await ok(['vm', 'show', vm, '--json'])) as VmDetails,
    list,
    status,
    killDaemon,
    api: (method, path, body) => call(socketPath, method, path, body),
    writeConfig: (toml) => writeFile(configPath, configure(toml)),
    traces,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
  await world.writeConfig(options.config ?? smallVms);
  return world;
};

/** The test runner's own variables would reach the daemon; so would settings of whoever runs the tests. */
const ownEnvironment = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || /^(BANGER_|VITEST|NODE_|TEST$|DEV$|PROD$|MODE$)/.test(name)
        ? []
        : [[name, value]],
    ),
  );

const call = (
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
): Promise<{ status: number; body: unknown }> =>
  new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    request({
      socketPath,
      method,
      path,
      agent: false,
      headers: payload === undefined ? {} : { 'content-type': 'application/json' },
    })
      .once('error', reject)
      .once('response', (response) => {
        text(response).then((answer) => {
          const parsed: unknown = answer === '' ? undefined : JSON.parse(answer);
          resolve({ status: response.statusCode ?? 0, body: parsed });
        }, reject);
      })
      .end(payload);
  });

const instanceOf = async (stateDirectory: string): Promise<string | undefined> => {
  const path = join(stateDirectory, 'instance.json');
  if (!(await exists(path))) return undefined;
  return (JSON.parse(await readFile(path, 'utf8')) as { token: string }).token;
};

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const tail = async (stateDirectory: string): Promise<string> => {
  const path = join(stateDirectory, 'daemon.log');
  if (!(await exists(path))) return 'the daemon wrote no log';
  return `the end of daemon.log:\n${(await readFile(path, 'utf8')).slice(-4000)}`;
};
