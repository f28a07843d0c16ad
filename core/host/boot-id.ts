import { readFile } from 'node:fs/promises';

/** Changes at each boot of the host: volatile objects of another boot are gone. */
export const readBootId = async (): Promise<string> =>
  (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
