import { access, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listenForGuest } from '../../../capabilities/vsock-agent/announcement.ts';
import { silentLog } from '../../support/silent-log.ts';
import { tempDir } from '../../support/temp-dir.ts';

const never = new AbortController().signal;
/** Longer than any test. */
const long = 3_600_000;

const speak = async (path: string): Promise<void> => {
  const socket = connect(path);
  socket.on('error', () => undefined).resume();
  socket.write('what nobody reads');
  await new Promise((resolve) => socket.once('close', resolve));
};

describe('a guest that says that it is there', () => {
  it('ends a pause, whether it speaks before or in it', async () => {
    const path = join(await tempDir(), 'word');
    await using heard = await listenForGuest(path, silentLog);
    const waiting = heard.pause(long, never);
    await speak(path);
    await waiting;
    await speak(path);
    await heard.pause(long, never);
  });

  it('is believed once', async () => {
    const path = join(await tempDir(), 'word');
    await using heard = await listenForGuest(path, silentLog);
    await speak(path);
    await heard.pause(long, never);
    const enough = new AbortController();
    const waiting = heard.pause(long, enough.signal);
    enough.abort(new Error('still waiting'));
    await expect(waiting).rejects.toThrow('still waiting');
  });

  it('is not believed without end', async () => {
    const path = join(await tempDir(), 'word');
    await using heard = await listenForGuest(path, silentLog);
    let believed = 0;
    for (; believed < 100; believed++) {
      await speak(path);
      const enough = new AbortController();
      const ended = heard.pause(long, enough.signal).then(
        () => true,
        () => false,
      );
      enough.abort();
      if (!(await ended)) break;
    }
    expect(believed).toBe(8);
  });

  it('need not speak', async () => {
    await using heard = await listenForGuest(join(await tempDir(), 'word'), silentLog);
    await heard.pause(1, never);
    await expect(heard.pause(long, AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
  });

  it('cannot be heard where there is no room for a socket, and need not', async () => {
    const path = join(await tempDir(), 'a-long-name'.repeat(10));
    await using heard = await listenForGuest(path, silentLog);
    await heard.pause(1, never);
  });

  it('is listened for where an earlier daemon did, and nothing is left', async () => {
    const path = join(await tempDir(), 'word');
    await writeFile(path, '');
    {
      await using heard = await listenForGuest(path, silentLog);
      await speak(path);
      await heard.pause(long, never);
    }
    await expect(access(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
