import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { coreSchema } from '../../core/config/schema.ts';
import { ConfigFile } from '../../core/config/settings.ts';
import { z } from '../../core/plugin-api/index.ts';
import { allCapabilities, repository } from './support/capabilities.ts';
import { keysOf, unreadKeys } from './support/unread-keys.ts';

describe('a key that nothing reads', () => {
  const schema = z.strictObject({
    used: z.string().default(''),
    unused: z.string().optional(),
    nested: z.strictObject({ deep: z.int() }).prefault({ deep: 1 }),
    list: z.array(z.strictObject({ item: z.string() })).default([]),
  });
  const source = `
    const schema = z.strictObject({ used: z.string(), unused: z.string(), deep: z.int() });
    export const setup = ({ config }) => {
      const { used, ...others } = config;
      return config.nested['deep'] + config.list.map(({ item: name }) => name);
    };
    // config.unused in a comment, and in a text: 'config.unused'
    export const other = { unused: 1 };`;

  it('is found, whatever else has its name', () => {
    expect(unreadKeys(keysOf(schema), { 'index.ts': source })).toEqual([['unused']]);
  });

  it('is not found where one way or the other reads it', () => {
    for (const read of ['config.unused', "config['unused']", '(({ unused: x }) => x)(config)'])
      expect(unreadKeys(keysOf(schema), { 'index.ts': source, 'other.ts': read })).toEqual([]);
  });
});

/** Text of the sources in these folders, by path in the repository. */
const sourcesIn = async (
  folders: readonly string[],
  except: readonly string[] = [],
): Promise<Record<string, string>> => {
  const sources: Record<string, string> = {};
  for (const folder of folders) {
    for (const name of await readdir(join(repository, folder), { recursive: true })) {
      const path = join(folder, name);
      if (/\.[jt]s$/.test(path) && !except.includes(path))
        sources[path] = await readFile(join(repository, path), 'utf8');
    }
  }
  return sources;
};

const isTable = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

describe('each setting is read', () => {
  it.each(allCapabilities)('of $capability.id', async ({ capability, folder }) => {
    const sources = await sourcesIn([relative(repository, folder)]);
    expect(Object.keys(sources)).not.toEqual([]);
    expect(unreadKeys(keysOf(capability.config), sources)).toEqual([]);
  });

  it('of core', async () => {
    const keys = keysOf(coreSchema);
    expect(keys).toContainEqual(['defaults', 'disk_size']);
    const schema = 'core/config/schema.ts';
    // From the file to what core computes with …
    const reader = await sourcesIn(['core/config', 'core/plugins'], [schema]);
    expect(unreadKeys(keys, reader)).toEqual([]);
    // … and from there to whoever needs it.
    const settings: object = new ConfigFile('/config.toml', undefined).settings();
    const computed = Object.entries(settings).flatMap(([key, value]: [string, unknown]) =>
      isTable(value) ? Object.keys(value).map((inner) => [key, inner]) : [[key]],
    );
    expect(computed).toContainEqual(['defaults', 'memoryMib']);
    const users = await sourcesIn(['core', 'daemon'], ['core/config/settings.ts', schema]);
    expect(unreadKeys(computed, users)).toEqual([]);
  });
});

it('has each setting in docs/configuration.md, and none that is not there', async () => {
  const documented = [
    ...(await readFile(join(repository, 'docs', 'configuration.md'), 'utf8')).matchAll(
      /^\| `([a-z][\w.-]*)` +\|/gm,
    ),
  ].map(([, key]) => key);
  const own = keysOf(coreSchema).filter(
    ([table]) => table !== 'plugins' && table !== 'capabilities',
  );
  const hasMore = (path: readonly string[]): boolean =>
    own.some((other) => other.length > path.length && path.every((key, at) => key === other[at]));
  const known = [
    ...own.filter((path) => !hasMore(path)),
    ...allCapabilities
      .filter(({ folder }) => folder.startsWith(join(repository, 'capabilities')))
      .flatMap(({ capability }) => keysOf(capability.config, [capability.configKey])),
  ].map((path) => path.join('.'));
  expect([...documented].sort()).toEqual([...known].sort());
});
