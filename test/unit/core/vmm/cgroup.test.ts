import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  cgroupParent,
  listCgroups,
  makeCgroup,
  removeCgroup,
} from '../../../../core/vmm/process/cgroup.ts';
import { tempDir } from '../../../support/temp-dir.ts';

describe('a VM’s cgroup', () => {
  let folder: string;
  const parentOf = async (mountinfo: string, self: string, isRoot: boolean) => {
    const places = { mountinfo: join(folder, 'mountinfo'), self: join(folder, 'self'), isRoot };
    await writeFile(places.mountinfo, mountinfo);
    await writeFile(places.self, self);
    return cgroupParent({ token: 'abcdef' }, places);
  };
  beforeEach(async () => {
    folder = await tempDir();
  });

  const unified =
    '25 21 0:22 / /proc rw - proc proc rw\n' +
    '34 24 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n';
  const hybrid =
    '30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n' +
    '31 24 0:27 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n';
  const self = '4:memory:/x\n0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope\n';

  it('is at the top for root, so that no service’s or session’s end is the VM’s', async () => {
    expect(await parentOf(unified, self, true)).toBe('/sys/fs/cgroup/banger-abcdef');
    expect(await parentOf(hybrid, self, true)).toBe('/sys/fs/cgroup/uni fied/banger-abcdef');
  });

  it('is in the user’s own for a user', async () => {
    expect(await parentOf(unified, self, false)).toBe(
      '/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope/banger-abcdef',
    );
  });

  it('is none where there is no cgroup v2', async () => {
    expect(await parentOf(hybrid.split('\n')[0] ?? '', self, true)).toBeUndefined();
    expect(await parentOf(unified, '4:memory:/x\n', false)).toBeUndefined();
  });

  it('goes, and with the last one the folder of all', async () => {
    const parent = join(folder, 'banger-abcdef');
    for (const name of ['qemu-aa', 'qemu-bb', 'firecracker-cc'])
      expect(await makeCgroup(join(parent, name))).toBe(true);
    await writeFile(join(parent, 'cgroup.procs'), '');
    const path = join(parent, 'qemu-aa');
    expect(
      (await listCgroups('qemu', parent)).sort((a, b) => a.token.localeCompare(b.token)),
    ).toEqual([
      { token: 'aa', path },
      { token: 'bb', path: join(parent, 'qemu-bb') },
    ]);
    await removeCgroup(path);
    await removeCgroup(path);
    expect((await readdir(parent)).sort()).toEqual(['cgroup.procs', 'firecracker-cc', 'qemu-bb']);
    expect(await listCgroups('qemu', join(folder, 'absent'))).toEqual([]);
  });

  it('stays where somebody else’s process is in it, which is named', async () => {
    const path = join(folder, 'banger-abcdef', 'qemu-aa');
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'cgroup.procs'), '12\n34\n');
    await expect(removeCgroup(path)).rejects.toThrow(`${path} has processes in it: 12, 34`);
  });
});
