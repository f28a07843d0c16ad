import { stat, truncate } from 'node:fs/promises';

/** Makes a file as large as that, sparse; a larger one stays as it is. */
export const growFile = async (path: string, bytes: number): Promise<void> => {
  if ((await stat(path)).size < bytes) await truncate(path, bytes);
};
