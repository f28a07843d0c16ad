// A guest that does what a test tells it to, behind a unix socket.

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FakeGuest {
  readonly path: string;
  readonly clients: readonly Socket[];
  dispose(): Promise<void>;
}

export async function startFakeGuest(onClient: (socket: Socket) => void): Promise<FakeGuest> {
  const folder = await mkdtemp(join(tmpdir(), 'banger-guest-'));
  const path = join(folder, 'agent');
  const clients: Socket[] = [];
  const server = createServer((socket) => {
    clients.push(socket);
    socket.on('error', () => socket.destroy()); // its peer is the test's to judge
    onClient(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    clients,
    async dispose() {
      for (const socket of clients) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true });
    },
  };
}
