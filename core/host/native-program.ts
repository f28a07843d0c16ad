import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * A program in C that is built beside the daemon (scripts/build.mjs), or in dist/ when it runs from source.
 * @param folder of dist/, `vmm`
 * @returns its path; undefined where it is not built
 */
export const nativeProgram = (folder: string, name: string): string | undefined =>
  [
    new URL(`./${folder}/${name}`, import.meta.url),
    new URL(`../../dist/${folder}/${name}`, import.meta.url),
  ]
    .map((url) => fileURLToPath(url))
    .find(existsSync);
