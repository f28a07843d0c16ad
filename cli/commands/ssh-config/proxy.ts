import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cli } from '../../cli.ts';
import { CliError, codeOf } from '../../error.ts';
import { placeOf } from './place.ts';

/** sshd comes up a moment after the VM: how long it may take, and how long between tries, milliseconds. */
const patienceMs = 60_000;
const retryMs = 100;

const dial = async (host: string, port: number): Promise<Socket> => {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const socket = createConnection({ host, port, noDelay: true });
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      socket.destroy();
      if (performance.now() < deadline && codeOf(error) === 'ECONNREFUSED') {
        await delay(retryMs);
        continue;
      }
      throw new CliError({
        code: 'SSH_UNREACHABLE',
        message: `no SSH at ${host}: ${codeOf(error) ?? String(error)}`,
        remedy: 'See the console with `banger vm logs NAME`; `banger vm exec` works without SSH.',
      });
    }
  }
};

/** For ProxyCommand: our standard input and output are the connection to the VM's sshd. */
export const proxy = async (cli: Cli, name: string): Promise<void> => {
  const { host, port } = await placeOf(cli, name);
  const socket = await dial(host, port);
  // Whichever end goes first, the other one is told, and there is nothing else to say.
  socket.on('error', () => socket.destroy());
  process.stdin.pipe(socket);
  socket.pipe(process.stdout);
  cli.outBroken.addEventListener('abort', () => socket.destroy());
  await once(socket, 'close');
};
