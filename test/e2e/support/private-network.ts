import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** Says over HTTP which address a request comes from. */
const serverScript = `
require('node:http').createServer((request, response) => response.end(request.socket.remoteAddress + '\\n'))
  .listen(80, '0.0.0.0', () => console.log('listening'));
`;

/**
 * A host with an uplink, and a network beyond it, made of two network namespaces: a daemon that was started in
 * `host` never touches the machine's own links, routes and rules.
 */
export interface PrivateNetwork extends AsyncDisposable {
  /** Of the host on its uplink. */
  readonly hostAddress: string;
  /** A server beyond the uplink: HTTP on port 80, which answers with its client's address. */
  readonly outsideAddress: string;
  /** The resolver in the host's resolv.conf. Nothing answers there. */
  readonly resolver: string;
  /** Words to put before a command, so that it runs on that host. */
  readonly enter: readonly string[];
  /** @returns standard output */
  onHost(...argv: readonly string[]): Promise<string>;
  onOutside(...argv: readonly string[]): Promise<string>;
  /** Links with addresses, rules and forwarding switches of the host. */
  residue(): Promise<string>;
}

const command = promisify(execFile);
const stdoutOf = async (argv: readonly string[]): Promise<string> => {
  const [file = '', ...args] = argv;
  return (await command(file, args)).stdout;
};

export const privateNetwork = async (): Promise<PrivateNetwork> => {
  const id = randomBytes(3).toString('hex');
  const [host, outside] = [`bgt-h${id}`, `bgt-o${id}`];
  const enter = (namespace: string): string[] => ['ip', 'netns', 'exec', namespace];
  const onHost = (...argv: readonly string[]) => stdoutOf([...enter(host), ...argv]);
  const onOutside = (...argv: readonly string[]) => stdoutOf([...enter(outside), ...argv]);
  const undo: (() => Promise<unknown>)[] = [];
  const dispose = async (): Promise<void> => {
    const errors: unknown[] = [];
    while (undo.length > 0)
      await undo
        .pop()?.()
        .catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw new AggregateError(errors, 'namespaces or servers are left');
  };
  // RFC 5737, so nothing real has them.
  const [hostAddress, outsideAddress, resolver] = ['198.51.100.2', '198.51.100.1', '203.0.113.53'];
  try {
    for (const namespace of [host, outside]) {
      await command('ip', ['netns', 'add', namespace]);
      undo.push(() => command('ip', ['netns', 'delete', namespace]));
      await command('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
    }
    // `ip netns exec` mounts it over /etc/resolv.conf (ip-netns(8)).
    const etc = `/etc/netns/${host}`;
    await mkdir(etc, { recursive: true });
    undo.push(async () => {
      await rm(etc, { recursive: true });
      // The folder of all namespaces stays where others have theirs in it.
      await rmdir('/etc/netns').catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
      });
    });
    await writeFile(`${etc}/resolv.conf`, `nameserver ${resolver}\n`);
    await command(
      'ip',
      `-n ${host} link add up0 type veth peer name eth0 netns ${outside}`.split(' '),
    );
    for (const [namespace, device, address] of [
      [host, 'up0', hostAddress],
      [outside, 'eth0', outsideAddress],
    ] as const) {
      await command('ip', ['-n', namespace, 'address', 'add', `${address}/24`, 'dev', device]);
      await command('ip', ['-n', namespace, 'link', 'set', device, 'up']);
    }
    await command('ip', ['-n', host, 'route', 'add', 'default', 'via', outsideAddress]);
    const server = await startServer(enter(outside));
    undo.push(() => endProcess(server));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    hostAddress,
    outsideAddress,
    resolver,
    enter: enter(host),
    onHost,
    onOutside,
    residue: async () => {
      const [links, rules, forwarding] = await Promise.all([
        onHost('ip', '-br', 'address'),
        onHost('iptables-save'),
        onHost('sysctl', '-a', '-r', '^net\\.ipv4\\.(conf\\..*\\.forwarding|ip_forward)$'),
      ]);
      // iptables-nft leaves the empty tables behind that it made.
      const added = rules.split('\n').filter((line) => line.startsWith('-A'));
      return [links, ...added, forwarding].join('\n');
    },
    [Symbol.asyncDispose]: dispose,
  };
};

const startServer = async (enter: readonly string[]): Promise<ChildProcess> => {
  const argv: readonly string[] = [...enter, process.execPath, '-e', serverScript];
  const [file = '', ...args] = argv;
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(createInterface({ input: child.stdout }), 'line');
  return child;
};

const endProcess = async (child: ChildProcess): Promise<void> => {
  const exited = once(child, 'exit');
  child.kill();
  await exited;
};
