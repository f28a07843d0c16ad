import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { NetWorld } from '../../tap-pool/support/net-world.ts';

/** Tells whoever connects which address it comes from. */
const serverScript = `
const server = require('node:net').createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.end(socket.remoteAddress);
});
server.listen(0, '0.0.0.0', () => console.log(server.address().port));
`;

const clientScript = `
const [host, port] = process.argv.slice(1);
const socket = require('node:net').connect({ host, port: Number(port) });
socket.setTimeout(1500, () => process.exit(3));
socket.on('error', () => process.exit(3));
socket.pipe(process.stdout);
socket.on('close', () => process.exit(0));
`;

export interface Server {
  readonly port: number;
  close(): Promise<void>;
}

/** Node with that script, in that namespace. */
const inNode = (namespace: string, script: string): [string, ...string[]] => [
  ...(['ip', 'netns', 'exec', namespace] as const),
  ...[process.execPath, '-e', script],
];

/** A TCP server in a namespace. */
export const serve = async (namespace: string): Promise<Server> => {
  const [file, ...args] = inNode(namespace, serverScript);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    port: Number(line),
    close: async () => {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    },
  };
};

/** The address that the server sees, or undefined where it is not reached. */
export const reach = async (
  world: NetWorld,
  namespace: string,
  host: string,
  port: number,
): Promise<string | undefined> => {
  const [file, ...args] = inNode(namespace, clientScript);
  const { exitCode, stdout } = await world.exec.run(file, [...args, host, String(port)], {
    okCodes: [0, 3],
  });
  return exitCode === 0 ? stdout : undefined;
};
