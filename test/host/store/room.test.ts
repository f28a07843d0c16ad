import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../../core/store/store.ts';
import { VmRepository } from '../../../core/vm/repository.ts';
import { describeUnless, needsRoot } from '../../support/skip.ts';
import { tempDir } from '../../support/temp-dir.ts';

const run = promisify(execFile);

/** A file system of 4 MiB. */
const smallFolder = async (): Promise<string> => {
  const folder = await tempDir();
  await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder]);
  onTestFinished(async () => {
    await run('umount', [folder]);
  });
  return folder;
};

/** Takes all that is left. */
const fill = async (folder: string): Promise<string> => {
  const path = join(folder, 'filling');
  await expect(writeFile(path, Buffer.alloc(8 * 1024 ** 2))).rejects.toMatchObject({
    code: 'ENOSPC',
  });
  return path;
};

const record = (name: string) => ({
  id: `id-${name}`,
  name,
  image: 'debian-bookworm',
  vcpus: 1,
  memoryMib: 256,
  diskBytes: 1024 ** 3,
  nat: true,
  ephemeral: false,
  createdAt: new Date().toISOString(),
});

describeUnless(needsRoot(), 'a database on a disk without room', () => {
  it('takes changes: thousands of them', async () => {
    const folder = await smallFolder();
    const store = await openStore(join(folder, 'banger.db'));
    onTestFinished(() => store.close());
    const vms = new VmRepository(store);
    await fill(folder);
    vms.insert(record('kept'));
    for (let index = 0; index < 2_000; index++)
      vms.setCondition('id-kept', 'cow-full', `detail ${String(index)}`);
    vms.insert(record('gone'));
    vms.remove('id-gone');
    expect(vms.list().map(({ name }) => name)).toEqual(['kept']);
    expect(vms.get('kept').run.conditions).toEqual([{ kind: 'cow-full', detail: 'detail 1999' }]);
  });

  it('is refused by name, and opened once there is room', async () => {
    const folder = await smallFolder();
    const path = join(folder, 'banger.db');
    const before = await openStore(path);
    new VmRepository(before).insert(record('kept'));
    before.close();
    await rm(join(folder, 'backups'), { recursive: true, force: true });
    const filling = await fill(folder);
    await expect(openStore(path)).rejects.toMatchObject({ code: 'DISK_FULL' });
    await rm(filling);
    const opened = await openStore(path);
    expect(new VmRepository(opened).list().map(({ name }) => name)).toEqual(['kept']);
    opened.close();
  });
});
