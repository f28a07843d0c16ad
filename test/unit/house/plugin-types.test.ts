import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { tempDir } from '../../support/temp-dir.ts';

const root = join(import.meta.dirname, '..', '..', '..');

const tsc = async (...args: string[]): Promise<string> => {
  const child = spawn(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return output;
};

const good = `
import { defineCapability, z } from 'banger/plugin-api';
export default defineCapability({
  id: 'mine',
  summary: 'an outsider',
  config: z.strictObject({ greeting: z.string().default('hi') }),
  setup: ({ config }) => ({
    provision: async (vm) => [
      { id: 'a', summary: 'b', when: 'once', kind: 'file', path: '/x',
        content: config.greeting.toUpperCase() + vm.name },
    ],
  }),
});
`;
const bad = good.replace('config.greeting', 'config.greting').replace("'once'", "'twice'");

it('gives a plugin outside the repository its types, by the published name', async () => {
  const directory = await tempDir();
  const published = join(directory, 'node_modules', 'banger');
  const types = join(published, 'dist', 'types');
  expect(await tsc('-p', join(root, 'tsconfig.build.json'), '--outDir', types)).toBe('');
  await cp(join(root, 'package.json'), join(published, 'package.json'));
  // What the types name, as npm would lay it: beside banger.
  for (const name of ['zod', '@types', 'undici-types'])
    await symlink(join(root, 'node_modules', name), join(directory, 'node_modules', name));
  await mkdir(join(directory, 'src'));
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
  await writeFile(join(directory, 'src', 'good.ts'), good);
  await writeFile(join(directory, 'src', 'bad.ts'), bad);
  await writeFile(
    join(directory, 'tsconfig.json'),
    JSON.stringify({
      // Without skipLibCheck: our declarations have to be right by themselves.
      compilerOptions: {
        target: 'es2023',
        lib: ['es2023'],
        module: 'nodenext',
        types: ['node'],
        strict: true,
        noEmit: true,
      },
      include: ['src'],
    }),
  );
  const lines = (await tsc('-p', directory)).split('\n').filter((line) => /error TS/.test(line));
  expect(lines.filter((line) => !line.includes('bad.ts'))).toEqual([]);
  expect(lines.join('\n')).toContain('greting');
  expect(lines.join('\n')).toContain('twice');
}, 120_000);
