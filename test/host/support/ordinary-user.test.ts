import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ordinaryUser } from '../../support/ordinary-user.ts';
import { describeUnless, firstOf, needsRoot, needsTools } from '../../support/skip.ts';

const reason = firstOf(needsRoot(), needsTools('useradd', 'setpriv', 'sudo', 'getent'));

describeUnless(reason, 'an ordinary user', () => {
  it('may do as root by sudo alone, sees the repository, and leaves nothing', async () => {
    let name: string;
    let home: string;
    {
      await using user = await ordinaryUser();
      ({ name, home } = user);
      expect(await user.run(['id', '-un'])).toMatchObject({ stdout: `${name}\n`, exitCode: 0 });
      expect(await user.run(['id', '-u'])).toMatchObject({ stdout: `${String(user.uid)}\n` });
      expect((await user.run(['cat', '/etc/shadow'])).exitCode).not.toBe(0);
      expect((await user.run(['sudo', '-n', 'cat', '/etc/shadow'])).exitCode).toBe(0);
      expect((await user.run(['cat', join(user.repository, 'package.json')])).exitCode).toBe(0);
      expect((await user.run(['sh', '-c', 'exit 7'])).exitCode).toBe(7);
      expect((await user.run(['sh', '-c', 'echo $HOME; touch $XDG_RUNTIME_DIR/x'])).stdout).toBe(
        `${home}\n`,
      );
      for (const file of ['/etc/subuid', '/etc/subgid'])
        expect(await readFile(file, 'utf8')).toMatch(new RegExp(`^${name}:\\d+:65536$`, 'm'));
      // A daemon that outlives its starter is ended too, or userdel would refuse.
      await user.run(['setsid', '--fork', 'sh', '-c', 'exec sleep 600 >/dev/null 2>&1']);
    }
    for (const file of ['/etc/passwd', '/etc/group', '/etc/subuid', '/etc/subgid'])
      expect(await readFile(file, 'utf8')).not.toContain(name);
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(home);
    for (const path of [home, `/etc/sudoers.d/${name}`])
      await expect(access(path)).rejects.toThrow('ENOENT');
  });

  it('has no way to root where it was made without', async () => {
    await using user = await ordinaryUser({ sudo: false });
    expect((await user.run(['sudo', '-n', 'true'])).exitCode).not.toBe(0);
  });
});
