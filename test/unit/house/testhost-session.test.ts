import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { Server } from 'ssh2';
import { expect, it } from 'vitest';
import { generateKey } from '../../../capabilities/ssh/generate-key.ts';
import { openExecutor } from '../../../scripts/lib/executor.ts';
import { Session } from '../../../scripts/testhost.d/session.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** Lets everyone in; its answer, the command's end with it, is one packet, as from a host that is busy. */
const serveInOnePacket = (hostKey: string) => (socket: Socket) => {
  new Server({ hostKeys: [hostKey] }, (client) => {
    client.on('error', () => socket.destroy());
    client.on('authentication', (request) => {
      request.accept();
    });
    client.on('session', (accept) => {
      accept().on('exec', (acceptExec, _reject, { command }) => {
        socket.cork();
        const channel = acceptExec();
        channel.write(command);
        if (command.includes('signal')) channel.exit('KILL');
        else channel.exit(3);
        channel.end();
        setImmediate(() => {
          socket.uncork();
        });
      });
    });
  }).injectSocket(socket);
};

it('knows what a command said and how it ended, also where the end comes with the begin', async () => {
  const folder = await tempDir();
  await using exec = await openExecutor();
  const [key, hostKey] = [join(folder, 'client'), join(folder, 'host')];
  await Promise.all([key, hostKey].map((path) => generateKey(exec, path, '')));
  const server = createServer(serveInOnePacket(await readFile(hostKey, 'utf8')));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = await Session.open({
    port: (server.address() as AddressInfo).port,
    privateKey: await readFile(key, 'utf8'),
    hostKey: await readFile(`${hostKey}.pub`, 'utf8'),
    deadlineMs: 5000,
    signal: new AbortController().signal,
  });
  const [exited, killed] = [await session.run(['exits']), await session.run(['by signal'])];
  session.close();
  server.close();
  await once(server, 'close');

  expect(exited).toMatchObject({ code: 3, stdout: expect.stringContaining("'exits'") as string });
  expect(killed).toMatchObject({ code: 128 + 9 });
});
