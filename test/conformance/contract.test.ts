import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { builtIn } from '../../capabilities/index.ts';
import { sortCapabilities } from '../../core/order.ts';
import { allCapabilities, folderName, repository } from './support/capabilities.ts';

const kebabCase = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;

describe.each(allCapabilities)('$capability.id', (known) => {
  const { capability, folder } = known;

  it('is called as its folder is', () => {
    expect(capability.id).toMatch(kebabCase);
    expect(folderName(known)).toBe(capability.id);
  });

  it('works with no settings at all, and refuses those that it does not know', () => {
    const isOwn = capability.configKey === capability.id;
    expect(capability.config.safeParse(isOwn ? {} : undefined).success).toBe(true);
    const unknown = { no_such_key: 1 };
    expect(capability.config.safeParse(isOwn ? unknown : [unknown]).success).toBe(false);
  });

  it('says what it is for in a line, and the rest in a README', async () => {
    expect(capability.summary).toMatch(/^\S.{10,100}\S$/);
    await access(join(folder, 'README.md'));
  });
});

describe('together', () => {
  it('have ids of their own', () => {
    const ids = allCapabilities.map(({ capability }) => capability.id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('have an order, in which the list of built-ins is written', () => {
    const known = new Set(builtIn.map(({ id }) => id));
    const sorted = sortCapabilities(builtIn, known).map(({ id }) => id);
    expect(sorted).toEqual(builtIn.map(({ id }) => id));
  });

  it('name nobody in after and before who is not there', () => {
    const ids = new Set(allCapabilities.map(({ capability }) => capability.id));
    for (const { capability } of allCapabilities)
      expect([...capability.after, ...capability.before].filter((id) => !ids.has(id))).toEqual([]);
  });

  it('are all that there is: a folder that is not in the list would be dead', async () => {
    const folders = (await readdir(join(repository, 'capabilities'), { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    expect(folders.sort()).toEqual(builtIn.map(({ id }) => id).sort());
  });
});
