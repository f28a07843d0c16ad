import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** One of native/: beside the built daemon, or in dist/ when it runs from source; undefined where it is not built. */
export const nativeProgram = (name: string): string | undefined =>
  [new URL(`./qemu/${name}`, import.meta.url), new URL(`../../dist/qemu/${name}`, import.meta.url)]
    .map((url) => fileURLToPath(url))
    .find(existsSync);
