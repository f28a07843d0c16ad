import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { kvmCheck } from '../../../core/host/kvm.ts';
import { nativeProgram } from '../../../core/host/native-program.ts';
import { openExecutor } from '../../../scripts/lib/executor.ts';
import { itUnless, needsRoot } from '../../support/skip.ts';

const { errno } = constants;

describe('kvm-check', () => {
  it.each([
    ['is absent', '/dev/kvm-nosuch', `open ${String(errno.ENOENT)}`],
    ['is another device', '/dev/null', `version ${String(errno.ENOTTY)}`],
  ])('says that a device %s', async (_what, device, said) => {
    await using exec = await openExecutor();
    expect(await kvmCheck(exec).check(device)).toBe(said);
  });

  itUnless(needsRoot(), 'says that one may not', async () => {
    await using exec = await openExecutor();
    const program = nativeProgram('host', 'kvm-check') ?? '';
    const another = ['--reuid', '4242', '--regid', '4242', '--clear-groups'];
    const { stdout } = await exec.run('sh', [
      '-c',
      'd=$(mktemp) && chmod 600 "$d" && setpriv "$@" "$d"; rm "$d"',
      'sh',
      ...another,
      program,
    ]);
    expect(stdout.trim()).toBe(`open ${String(errno.EACCES)}`);
  });
});
