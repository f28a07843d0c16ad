import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { builtIn } from '../../../capabilities/index.ts';
import type { Capability } from '../../../core/capability.ts';

export const repository = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

export interface Known {
  readonly capability: Capability;
  /** Where its source is. */
  readonly folder: string;
}

const bundledPlugins = async (): Promise<Known[]> => {
  const plugins = join(repository, 'plugins');
  const known: Known[] = [];
  for (const entry of await readdir(plugins, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const folder = join(plugins, entry.name);
    const module = (await import(pathToFileURL(join(folder, 'index.js')).href)) as {
      readonly default: Capability | readonly Capability[];
    };
    for (const capability of [module.default].flat()) known.push({ capability, folder });
  }
  return known;
};

/** Built in, and the plugins of this repository. */
export const allCapabilities: readonly Known[] = [
  ...builtIn.map((capability) => ({
    capability,
    folder: join(repository, 'capabilities', capability.id),
  })),
  ...(await bundledPlugins()),
];

export const folderName = ({ folder }: Known): string => basename(folder);
