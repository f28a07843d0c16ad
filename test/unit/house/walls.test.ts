import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { tempDir } from '../../support/temp-dir.ts';

const root = join(import.meta.dirname, '..', '..', '..');
type Files = Readonly<Record<string, string>>;

/** A house with our own rules and none of our code: every violation in it is one that we put there. */
const house = async (files: Files): Promise<string> => {
  const directory = await tempDir();
  for (const name of ['.dependency-cruiser.cjs', 'eslint.config.js', 'tsconfig.json', 'knip.json'])
    await cp(join(root, name), join(directory, name));
  await cp(join(root, 'package.json'), join(directory, 'package.json'));
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  return directory;
};

const check = async (directory: string, tool: string, ...args: string[]) => {
  const child = spawn(process.execPath, [join(root, 'node_modules', tool), ...args], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return { output, code: child.exitCode };
};

/** Imports for their effect, so that nothing but the wall is in question. */
const imports = (...specifiers: string[]) =>
  specifiers.map((specifier) => `import '${specifier}';\n`).join('') + 'export const x = 1;\n';
const takesType = (specifier: string) =>
  `import type { x } from '${specifier}';\nexport type X = typeof x;\n`;
const one = 'export const x = 1;\n';

const cruised = z.object({
  summary: z.object({
    violations: z.array(
      z.object({ from: z.string(), to: z.string(), rule: z.object({ name: z.string() }) }),
    ),
  }),
});

const cruise = async (files: Files) => {
  const directory = await house(files);
  const folders = [...new Set(Object.keys(files).map((name) => name.split('/')[0] ?? ''))];
  const { output } = await check(
    directory,
    'dependency-cruiser/bin/dependency-cruise.mjs',
    ...['--config', '.dependency-cruiser.cjs', '--output-type', 'json'],
    ...folders,
  );
  const { violations } = cruised.parse(JSON.parse(output)).summary;
  return violations
    .map(
      ({ from, to, rule }) =>
        `${rule.name}: ${from} -> ${/node_modules\/([^/]+)/.exec(to)?.[1] ?? to}`,
    )
    .toSorted();
};

it('lets through what the floor plan has', async () => {
  const found = await cruise({
    'core/kernel.ts': imports('awilix', './size.ts', './store/store.ts'),
    'core/size.ts': one,
    'core/errors.ts': imports('./vm/name.ts'),
    'core/vm/name.ts': one,
    'core/store/store.ts': imports('better-sqlite3'),
    'core/host/create-executor.ts': imports('node:child_process', 'execa'),
    'core/api/contract/types.ts': imports('zod'),
    'core/plugin-api/index.ts': imports('../size.ts', 'zod'),
    'capabilities/index.ts': imports('./nat/index.ts'),
    'capabilities/nat/index.ts': imports('../../core/plugin-api/index.ts', './rules.ts'),
    'capabilities/nat/rules.ts': imports('ipaddr.js'),
    'capabilities/nat/contract.ts': imports('../../core/plugin-api/index.ts'),
    'plugins/hello/index.js': imports('banger/plugin-api', './greeting.js'),
    'plugins/hello/greeting.js': one,
    'daemon/main.ts': imports('../core/kernel.ts', '../capabilities/index.ts'),
    'cli/main.ts':
      imports('@commander-js/extra-typings', '../core/size.ts', '../core/errors.ts') +
      takesType('../core/api/contract/types.ts'),
    'cli/show.ts': takesType('../capabilities/nat/contract.ts'),
  });
  expect(found).toEqual([]);
});

it('stops whoever goes through a wall', async () => {
  const found = await cruise({
    'core/lifecycle.ts': imports('../capabilities/nat/index.ts', '../cli/main.ts'),
    'core/registry.ts': imports('awilix', '../plugins/hello/index.js'),
    'core/rows.ts': imports('better-sqlite3'),
    'core/errors.ts': imports('zod', './registry.ts'),
    'core/vm/record.ts': imports('node:child_process', 'execa'),
    'core/api/contract/types.ts': one,
    'core/plugin-api/index.ts': one,
    'capabilities/nat/index.ts': imports('../ssh/index.ts', '../../core/vm/record.ts'),
    'capabilities/nat/rules.ts': imports('node:child_process'),
    'capabilities/nat/contract.ts': one,
    'capabilities/ssh/index.ts': imports('../../cli/list.ts'),
    // By type alone is through the wall too.
    'capabilities/dns/index.ts': takesType('../nat/contract.ts'),
    'plugins/hello/index.js': imports('../../core/plugin-api/index.ts', '../../core/vm/record.ts'),
    'daemon/main.ts': imports('../capabilities/ssh/index.ts'),
    'cli/main.ts': imports('../core/api/contract/types.ts', 'zod', 'fastify'),
    'cli/list.ts': takesType('../core/vm/record.ts'),
    'cli/show.ts': takesType('../capabilities/nat/rules.ts'),
  });
  expect(found).toEqual([
    'capability-imports-plugin-api-only: capabilities/dns/index.ts -> capabilities/nat/contract.ts',
    'capability-imports-plugin-api-only: capabilities/nat/index.ts -> capabilities/ssh/index.ts',
    'capability-imports-plugin-api-only: capabilities/nat/index.ts -> core/vm/record.ts',
    'capability-imports-plugin-api-only: capabilities/ssh/index.ts -> cli/list.ts',
    'cli-has-few-packages: cli/main.ts -> fastify',
    'cli-has-few-packages: cli/main.ts -> zod',
    'cli-imports-contracts: cli/list.ts -> core/vm/record.ts',
    'cli-imports-contracts: cli/show.ts -> capabilities/nat/rules.ts',
    'cli-starts-light: cli/main.ts -> core/api/contract/types.ts',
    'core-knows-nobody: core/lifecycle.ts -> capabilities/nat/index.ts',
    'core-knows-nobody: core/lifecycle.ts -> cli/main.ts',
    'core-knows-nobody: core/registry.ts -> plugins/hello/index.js',
    'daemon-joins: daemon/main.ts -> capabilities/ssh/index.ts',
    'one-composition-root: core/registry.ts -> awilix',
    'one-door-to-commands: capabilities/nat/rules.ts -> child_process',
    'one-door-to-commands: core/vm/record.ts -> child_process',
    'one-door-to-commands: core/vm/record.ts -> execa',
    'one-door-to-the-database: core/rows.ts -> better-sqlite3',
    'plugin-imports-published-api-only: plugins/hello/index.js -> core/vm/record.ts',
    'plugin-uses-the-specifier: plugins/hello/index.js -> core/plugin-api/index.ts',
    'plugin-uses-the-specifier: plugins/hello/index.js -> core/vm/record.ts',
    'shared-with-cli-stays-light: core/errors.ts -> core/registry.ts',
    'shared-with-cli-stays-light: core/errors.ts -> zod',
  ]);
});

it('stops circles (each is told once), barrels and files that are named after nothing', async () => {
  const found = await cruise({
    'core/a.ts': imports('./b.ts'),
    'core/b.ts': imports('./a.ts'),
    'core/c.ts': takesType('./d.ts') + one,
    'core/d.ts': takesType('./c.ts') + one,
    'cli/e.ts': imports('./f.ts'),
    'cli/f.ts': imports('./e.ts'),
    'cli/g.ts': takesType('./h.ts') + one,
    'cli/h.ts': takesType('./g.ts') + one,
    'core/vm/index.ts': one,
    'core/vm/utils.ts': one,
    'core/vm/list.ts': imports('./index.ts', './utils.ts'),
  });
  expect(found).toEqual([
    'no-barrels: core/vm/list.ts -> core/vm/index.ts',
    'no-cycles-of-values: cli/e.ts -> cli/f.ts',
    'no-cycles: core/a.ts -> core/b.ts',
    'no-cycles: core/c.ts -> core/d.ts',
    'no-utils: core/vm/list.ts -> core/vm/utils.ts',
  ]);
});

const linted = z.array(
  z.object({
    filePath: z.string(),
    messages: z.array(z.object({ ruleId: z.string().nullable(), message: z.string() })),
  }),
);

it('stops what is on the list of nevers', async () => {
  const seeds = {
    'core/promise.ts': ['Promise.resolve();', 'no-floating-promises'],
    'core/any.ts': ['export const x = (y: any): string => typeof y;', 'no-explicit-any'],
    'core/cast.ts': ["export const x = 'a' as unknown as number;", 'as unknown as'],
    'core/angle.ts': ["export const x = <'a'>String();", 'value as Type'],
    'core/timeout.ts': ['export const x = AbortSignal.timeout(1);', 'use deadlineSignal'],
    'core/enum.ts': ['export enum X { A }', 'union of literals'],
    'core/empty.ts': ['try { JSON.parse(""); } catch {}', 'no handling'],
    'core/ignore.ts': ['try { JSON.parse(""); } catch { /* ignore */ }', 'no handling'],
    'core/swallow.ts': ['void Promise.resolve().catch(() => {});', 'swallows every error'],
    'core/host/shell.ts': ['export const x = { shell: true };', 'argv only'],
    'core/host/bash.ts': ["export const x = { 'shell': '/bin/bash' };", 'argv only'],
    'core/host/exec.ts': [
      "import { exec } from 'node:child_process';\nexec('ls');",
      'start a shell',
    ],
    'core/barrel.ts': ["export * from './any.ts';", 'Import from the file'],
    'core/loose.ts': ['export const x = (y: number) => y == 1;', 'eqeqeq'],
  } as const;
  const directory = await house({
    ...Object.fromEntries(Object.entries(seeds).map(([name, [code]]) => [name, `${code}\n`])),
    'core/plugin-api/index.ts': "export { x } from '../good.ts';\n",
    'core/good.ts': "export const x = { shell: process.env['SHELL'] };\n",
  });
  const { output, code } = await check(directory, 'eslint/bin/eslint.js', '.', '--format', 'json');
  expect(code).toBe(1);
  const messages = new Map(
    linted
      .parse(JSON.parse(output))
      .map((file) => [
        file.filePath.slice(directory.length + 1),
        file.messages.map(({ ruleId, message }) => `${ruleId ?? ''}: ${message}`).join('\n'),
      ]),
  );
  for (const [name, [, expected]] of Object.entries(seeds))
    expect(messages.get(name), name).toContain(expected);
  expect(messages.get('core/plugin-api/index.ts')).toBe('');
  expect(messages.get('core/good.ts')).toBe('');
}, 60_000);

it('stops what nothing uses', async () => {
  const directory = await house({
    'daemon/main.ts': "import { used } from '../core/used.ts';\nused();\n",
    'core/used.ts': 'export const used = (): void => undefined;\nexport const unused = 1;\n',
    'core/orphan.ts': one,
  });
  const { output, code } = await check(directory, 'knip/bin/knip.js', '--reporter', 'compact');
  expect(code).toBe(1);
  expect(output).toContain('core/orphan.ts');
  expect(output).toMatch(/core\/used\.ts: unused/);
  // Nothing here imports them, though package.json has them.
  expect(output).toContain('awilix');
});
