import { stat } from 'node:fs/promises';
import type { ProvisionStep } from '../../core/plugin-api/index.ts';
import { resolveEntry, type FileSyncEntry } from './entries.ts';

const isThere = async (path: string): Promise<boolean> => {
  try {
    await stat(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    // It is there, and whoever reads it says what is wrong with it.
    return true;
  }
};

/** What is on the host at this moment, entry by entry. */
export const fileSyncSteps = (
  entries: readonly FileSyncEntry[],
  home: string,
): Promise<ProvisionStep[]> =>
  Promise.all(
    entries.map(async (entry, index): Promise<ProvisionStep> => {
      const { source, path, fileMode } = resolveEntry(entry, home);
      const step = { id: `file_sync.${String(index)}`, when: 'start' as const };
      return (await isThere(source))
        ? { ...step, kind: 'tree', summary: entry.host, required: true, source, path, fileMode }
        : {
            ...step,
            kind: 'notice',
            summary: `${entry.host} is not there, and was left out (${step.id} in config.toml)`,
          };
    }),
  );
