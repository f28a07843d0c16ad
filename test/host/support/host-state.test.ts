import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { newToken } from '../../../core/token.ts';
import { hostDiff, hostDiffSettled, hostState } from '../../support/host-state.ts';
import { describeUnless, firstOf, itUnless, needsRoot, needsTools } from '../../support/skip.ts';
import { tempDir } from '../../support/temp-dir.ts';

it('sees files, sockets and processes of the given folders, and that they have gone', async () => {
  const directory = await tempDir();
  const scope = { directories: [directory] };
  const before = await hostState(scope);
  await writeFile(join(directory, 'file'), '');
  const server = createServer().listen(join(directory, 'sock'));
  await once(server, 'listening');
  const idle = ['-e', 'setInterval(() => {}, 1000)'];
  const byFolder = spawn(process.execPath, idle, { cwd: directory });
  const byName = spawn(process.execPath, [...idle, join(directory, 'state')]);
  const byEnvironment = spawn(process.execPath, idle, { env: { BANGER_STATE_DIR: directory } });
  const children = [byFolder, byName, byEnvironment];
  onTestFinished(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  await Promise.all(children.map((child) => once(child, 'spawn')));

  const during = hostDiff(before, await hostState(scope));
  expect(during).toContain(`+ file ${join(directory, 'file')}`);
  expect(during).toContain(`+ socket ${join(directory, 'sock')}`);
  for (const { pid } of children)
    expect(during.filter((line) => line.startsWith(`+ process ${String(pid)} `))).toHaveLength(1);

  server.close();
  for (const child of children) child.kill('SIGKILL');
  await rm(join(directory, 'file'));
  expect(await hostDiffSettled(before, scope)).toEqual([]);
});

describeUnless(firstOf(needsRoot(), needsTools('ip')), 'as root', () => {
  it('sees a link and a mount', async () => {
    const directory = await tempDir();
    const scope = { directories: [directory] };
    const before = await hostState(scope);
    const link = `bgr-${newToken(6)}`;
    execFileSync('ip', ['link', 'add', link, 'type', 'bridge']);
    onTestFinished(() => void execFileSync('ip', ['link', 'delete', link]));
    execFileSync('mount', ['-t', 'tmpfs', 'banger-test', directory]);
    onTestFinished(() => void execFileSync('umount', [directory]));
    const diff = hostDiff(before, await hostState(scope));
    expect(diff).toContain(`+ link ${link}`);
    expect(diff).toContain(`+ mount ${directory} tmpfs banger-test`);
  });

  itUnless(needsTools('iptables', 'iptables-save'), 'sees a chain and a rule', async () => {
    const before = await hostState({ directories: [] });
    const chain = `bgt-${newToken(6)}`;
    const iptables = (...args: string[]) =>
      execFileSync('iptables', ['-w', '5', ...args], {
        env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
      });
    iptables('-N', chain);
    onTestFinished(() => {
      iptables('-F', chain);
      iptables('-X', chain);
    });
    iptables('-A', chain, '-j', 'RETURN');
    const diff = hostDiff(before, await hostState({ directories: [] }));
    expect(diff).toContain(`+ iptables-save filter chain ${chain}`);
    expect(diff).toContain(`+ iptables-save filter -A ${chain} -j RETURN`);
  });
});
