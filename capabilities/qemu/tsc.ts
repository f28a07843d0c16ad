import { fileURLToPath } from 'node:url';
import { existsSync } from 'node:fs';
import type { Executor } from '../../core/plugin-api/index.ts';

/** Beside the built daemon, or in dist/ when it runs from source. */
const helper = (): string | undefined =>
  [new URL('./qemu/tsc-khz', import.meta.url), new URL('../../dist/qemu/tsc-khz', import.meta.url)]
    .map((url) => fileURLToPath(url))
    .find(existsSync);

/** The host's time stamp counter in kHz, which under TCG is the guest's; see native/tsc-khz.c. */
export const measureTscKhz = async (exec: Executor): Promise<number | undefined> => {
  const path = helper();
  if (path === undefined) return undefined;
  const khz = Number((await exec.run(path, [])).stdout.trim());
  return Number.isSafeInteger(khz) && khz > 0 ? khz : undefined;
};
