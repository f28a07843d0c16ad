import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exitOf } from '../../../capabilities/firecracker/exit.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** Before this run's, in the same log. */
const earlier = '2026-11-24T10:00:00.1 [banger-i-old-0:main] Firecracker exiting. exit_code=0\n';
const started = '2026-11-24T11:00:00.1 [banger-i-new-0:main] Running Firecracker v1.13.1\n';
/** Higher than any pid may be (PID_MAX_LIMIT of Linux). */
const gone = { pid: 4_194_305, startTicks: 1 };

const noPanic = (): Promise<undefined> => Promise.resolve(undefined);

describe('an adopted Firecracker that has ended', () => {
  it.each([
    [
      'without a last word',
      '',
      { clean: false, detail: expect.stringContaining('unknown') as string },
    ],
    [
      'as its guest did',
      '[banger-i-new-0:main] Firecracker exiting. exit_code=0\n',
      { clean: true },
    ],
    [
      'by a fault',
      '[banger-i-new-0:fc_vcpu 0] Firecracker exiting with error. exit_code=148\n',
      { clean: false, detail: expect.stringContaining('seccomp') as string },
    ],
    [
      'with the last word of another',
      '[banger-i-newer-0:main] Firecracker exiting. exit_code=0\n',
      { clean: false },
    ],
  ])('%s', async (_, lastLine, expected) => {
    const folder = await tempDir();
    const log = join(folder, 'vmm.log');
    const line = lastLine === '' ? '' : `2026-11-24T12:00:00.1 ${lastLine}`;
    await writeFile(log, earlier + started + line);
    const exit = await exitOf(
      join(folder, 'api.sock'),
      log,
      gone,
      { name: 'banger-i-new-0' },
      noPanic,
    );
    expect(exit).toMatchObject(expected);
  });

  it('and has left no log', async () => {
    const folder = await tempDir();
    const [socket, log] = [join(folder, 'api.sock'), join(folder, 'vmm.log')];
    const exit = await exitOf(socket, log, gone, { name: 'banger-i-new-0' }, noPanic);
    expect(exit).toMatchObject({ clean: false });
  });
});
