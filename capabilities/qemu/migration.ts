import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { BangerError, codeOf, deadlineSignal, z } from '../../core/plugin-api/index.ts';
import type { Qmp } from './qmp.ts';

/**
 * In a snapshot's folder: QEMU's migration stream (docs/devel/migration.rst in its source). It goes over a socket, since
 * QEMU's sandbox lets it start nothing, and before 8.2 it writes to no file by itself.
 */
const stateName = 'state';

/** In the VM's folder, and told relative to it: a socket's path has 107 bytes at most. */
export const migrationSocket = 'migration.sock';

/** How long a guest's memory may take, milliseconds: 32 GiB at 200 MiB a second, and some. */
export const migrationMs = 180_000;
/** QEMU would hold itself to 128 MiB (MAX_THROTTLE in migration/migration.c), for the sake of a network. */
const bytesPerSecond = 1024 ** 4;
const chunkBytes = 1024 ** 2;
const pollMs = 4;
/** How a stream ends whose reader closes it before its writer does. */
const closings = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'EPIPE', 'ECONNRESET']);

/** Of query-migrate; qapi/migration.json has the rest. */
const progress = z.object({ status: z.string().optional(), 'error-desc': z.string().optional() });

/** Both ends say when they are through. @throws BangerError VMM_FAILED; the signal's reason */
const completed = async (qmp: Qmp, signal: AbortSignal): Promise<void> => {
  for (;;) {
    signal.throwIfAborted();
    const now = progress.parse(await qmp.execute('query-migrate'));
    if (now.status === 'completed') return;
    if (now.status === 'failed' || now.status === 'cancelled')
      throw new BangerError('VMM_FAILED', `QEMU: ${now['error-desc'] ?? now.status}`);
    await delay(pollMs);
  }
};

/**
 * Writes what a paused guest is.
 * @param folder of the VM
 * @param to of the snapshot
 * @throws BangerError VMM_FAILED; the signal's reason
 */
export const saveState = async (
  qmp: Qmp,
  folder: string,
  to: string,
  caller: AbortSignal,
): Promise<void> => {
  const over = new AbortController();
  const signal = deadlineSignal(migrationMs, caller, over.signal);
  const path = join(folder, migrationSocket);
  await rm(path, { force: true });
  const server = createServer({ pauseOnConnect: true });
  const connected = once(server, 'connection', { signal }) as Promise<[Socket]>;
  // Where QEMU refuses, nobody waits for it any more.
  connected.catch(() => undefined);
  try {
    server.listen(path);
    await once(server, 'listening', { signal });
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': bytesPerSecond });
    await qmp.execute('migrate', { uri: `unix:${migrationSocket}` });
    const [socket] = await connected;
    const file = createWriteStream(join(to, stateName), { flags: 'wx', mode: 0o600 });
    await pipeline(socket, file, { signal });
    await completed(qmp, signal);
  } finally {
    over.abort();
    server.close();
    await rm(path, { force: true });
  }
};

/** Has a QEMU that waits for it go on from there. @throws as `saveState` does; QEMU may end itself over it */
export const loadState = async (
  qmp: Qmp,
  folder: string,
  from: string,
  signal: AbortSignal,
): Promise<void> => {
  const path = join(folder, migrationSocket);
  await rm(path, { force: true });
  await qmp.execute('migrate-incoming', { uri: `unix:${migrationSocket}` });
  const socket = connect(path);
  // Who waits hears of it, and between two waits nobody would.
  socket.on('error', () => undefined);
  try {
    await once(socket, 'connect', { signal });
    const file = createReadStream(join(from, stateName), { highWaterMark: chunkBytes });
    await pipeline(file, socket, { signal }).catch((error: unknown) => {
      // QEMU has read what it needs, or wants no more of it, which it tells below.
      if (!closings.has(codeOf(error) ?? '')) throw error;
    });
  } finally {
    socket.destroy();
    await rm(path, { force: true });
  }
  await completed(qmp, signal);
  await qmp.execute('cont');
};
