import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/**
 * A folder of the running test's own, removed after it. The path is short: a unix socket's has 107 bytes
 * at most, unix(7).
 */
export const tempDir = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'bgr-t-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
};
