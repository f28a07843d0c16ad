import { readFile } from 'node:fs/promises';
import { createRequire, register } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import type { Capability } from '../capability.ts';
import { BangerError, messageOf } from '../errors.ts';
import type { Installed } from '../registry.ts';

/** What a plugin's package.json must tell. */
const manifest = z.object({
  name: z.string(),
  exports: z.unknown().optional(),
  main: z.string().optional(),
});

/** A plugin's default export: one capability or several. */
export interface PluginReference {
  readonly path?: string | undefined;
  readonly package?: string | undefined;
}

/** Of an ES module, by its URL. */
export type ImportModule = (url: string) => Promise<unknown>;

const isCapability = (value: unknown): value is Capability =>
  typeof value === 'object' &&
  value !== null &&
  'id' in value &&
  typeof value.id === 'string' &&
  'setup' in value &&
  typeof value.setup === 'function' &&
  'config' in value;

/**
 * Makes `banger/plugin-api` mean this daemon's own, wherever a plugin lies: a plugin needs no symlink
 * and no copy of banger, and shares the daemon's classes (`instanceof BangerError` holds).
 * @param pluginApiUrl file URL of the plugin API's module
 */
export const exposePluginApi = (pluginApiUrl: string): void => {
  const hooks = `export const resolve = (specifier, context, next) =>
    specifier === 'banger/plugin-api'
      ? { url: ${JSON.stringify(pluginApiUrl)}, shortCircuit: true }
      : next(specifier, context);`;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
};

const locate = async (reference: PluginReference, configPath: string): Promise<string> => {
  const folder = dirname(configPath);
  if (reference.path !== undefined) return resolve(folder, reference.path);
  const require = createRequire(join(folder, 'config.toml'));
  for (const candidate of require.resolve.paths(reference.package ?? '') ?? []) {
    const path = join(candidate, reference.package ?? '');
    if (
      await readFile(join(path, 'package.json')).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error(`no package of that name is installed at or above ${folder}`);
};

/**
 * Loads one plugin.
 * @throws BangerError PLUGIN_FAILED, with the plugin's name and why
 */
export const loadPlugin = async (
  reference: PluginReference,
  configPath: string,
  importModule: ImportModule,
): Promise<Installed[]> => {
  const label = reference.path ?? reference.package ?? '';
  try {
    const folder = await locate(reference, configPath);
    const { name } = manifest.parse(
      JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')),
    );
    // A package may import itself by name: so its own `exports` or `main` say what its entry is.
    const entry = createRequire(join(folder, 'package.json')).resolve(folder);
    const module = await importModule(pathToFileURL(entry).href);
    const exported =
      typeof module === 'object' && module !== null && 'default' in module
        ? module.default
        : undefined;
    const capabilities: unknown[] = Array.isArray(exported) ? exported : [exported];
    return capabilities.map((capability) => {
      if (!isCapability(capability))
        throw new Error('its default export is not what defineCapability returns');
      return { capability, origin: name };
    });
  } catch (error) {
    throw new BangerError(
      'PLUGIN_FAILED',
      `plugin '${label}' failed to load: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
};
