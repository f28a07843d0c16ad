import { join } from 'node:path';
import { build } from 'esbuild';

/** The build that the bundled CLI believes to be of. */
export const testBuild = 'test-build';

/**
 * The CLI as it is shipped, one file, with a fake daemon as the `daemon.js` beside it: what is tested
 * are processes, with their signals, pipes and exit codes.
 */
export const bundleCli = async (directory: string): Promise<string> => {
  const common = {
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'silent',
  } as const;
  const root = join(import.meta.dirname, '..', '..', '..', '..');
  const cli = join(directory, 'cli.cjs');
  await Promise.all([
    build({
      ...common,
      entryPoints: [join(root, 'cli', 'main.ts')],
      outfile: cli,
      define: {
        __BANGER_BUILD_ID__: JSON.stringify(testBuild),
        __BANGER_VERSION__: JSON.stringify('9.9.9'),
      },
    }),
    build({
      ...common,
      entryPoints: [join(import.meta.dirname, 'fake-daemon-main.ts')],
      outfile: join(directory, 'daemon.js'),
    }),
  ]);
  return cli;
};
