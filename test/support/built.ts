import { access } from 'node:fs/promises';
import { join } from 'node:path';

const dist = join(import.meta.dirname, '..', '..', 'dist');

/** Global setup of what runs the product: one line now, not a hundred failing tests. */
export const setup = async (): Promise<void> => {
  for (const name of [
    'daemon.js',
    'daemon.cjs',
    'restore.js',
    'plugin-api.js',
    'cli.cjs',
    'build-id',
    'guest/agent',
  ])
    await access(join(dist, name)).catch((error: unknown) => {
      throw new Error(`dist/${name} is not built: run \`npm run build\``, { cause: error });
    });
};
