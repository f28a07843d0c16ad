import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { tempDir } from '../../support/temp-dir.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const support = join(root, 'test', 'support');

/** Runs vitest over one file with the reporter of vitest.config.ts. */
const report = async (tests: string, args: readonly string[] = []) => {
  const directory = await tempDir();
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
  await writeFile(
    join(directory, 'it.test.ts'),
    `import { beforeAll, describe, it } from 'vitest';
    import { describeUnless, itUnless } from '${support}/skip.ts';\n${tests}`,
  );
  await writeFile(
    join(directory, 'vitest.config.ts'),
    `export default { test: {
      reporters: ['default', '${support}/counts-reporter.ts'],
      passWithNoTests: true,
      projects: [{ test: { name: 'small', include: ['*.test.ts'] } }],
    } };`,
  );
  const child = spawn(
    process.execPath,
    [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...args],
    { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env['PATH'] } },
  );
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  const lines = output.trimEnd().split('\n');
  return { lines, last: lines.at(-1), code: child.exitCode };
};

it('ends with the counts, and says why each skipped test was', async () => {
  const { lines, last, code } = await report(`
    it('works', () => {});
    itUnless('no moon tonight', 'howls', () => {});
    itUnless(undefined, 'sings', () => {});
    describeUnless('not on this planet', 'orbit', () => {
      beforeAll(() => { throw new Error('must not run'); });
      it('a', () => {});
      it('b', () => {});
    });
    it('decides late', ({ skip }) => skip('changed its mind'));
    it.skip('is lazy', () => {});
  `);
  expect(last).toBe('2 passed, 0 failed, 5 skipped');
  expect(lines).toContain('small: 2 passed, 0 failed, 5 skipped');
  expect(lines).toContain('skipped (1): it.test.ts > howls: no moon tonight');
  expect(lines).toContain('skipped (2): it.test.ts > orbit: not on this planet');
  expect(lines).toContain('skipped (1): it.test.ts > decides late: changed its mind');
  expect(lines).toContain('skipped (1): it.test.ts > is lazy: NO REASON GIVEN');
  expect(code).toBe(0);
});

it('counts a failing test, a failing hook and a stray rejection', async () => {
  const { lines, last, code } = await report(`
    it('fails', () => { throw new Error('no'); });
    describe('hooked', () => {
      beforeAll(() => { throw new Error('no'); });
      it('a', () => {});
    });
    it('strays', () => { void Promise.reject(new Error('nobody waits')); });
  `);
  expect(last).toBe('1 passed, 3 failed, 1 skipped');
  expect(lines).toContain('skipped (1): it.test.ts > hooked: a hook failed');
  expect(code).toBe(1);
});

it('counts a file that cannot be read', async () => {
  const { last, code } = await report(`import './not-there.ts';`);
  expect(last).toBe('0 passed, 1 failed, 0 skipped');
  expect(code).toBe(1);
});

it('ends with the counts where there are no tests', async () => {
  const { last, code } = await report('', ['--project', 'small', 'no-such-file']);
  expect(last).toBe('0 passed, 0 failed, 0 skipped');
  expect(code).toBe(0);
});
