import { existsSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { bringImage } from '../../test/testhost/support/stage.ts';
import { openExecutor } from '../lib/executor.ts';
import { bootTestHost, folderPath } from './host.ts';
import type { Streams } from './session.ts';

const repository = join(import.meta.dirname, '..', '..');
/** Nothing that a test reads: history, what was fuzzed, and bundles of scripts that run now. */
const isLeftOut = (path: string): boolean =>
  ['.git', '.fuzz'].includes(relative(repository, path)) || basename(path).startsWith('.script-');

/** In there Node is 5 to 20 times slower, and so is a boot. */
const timeoutMs = 30 * 60_000;

export interface SuiteOptions {
  /** A real Firecracker. */
  readonly firecracker: string;
  /** To vitest: files, `-t PATTERN`. */
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  say(line: string): void;
}

/** Runs e2e tests on a real Firecracker, in a test host, whose KVM boots its guests. @returns vitest's exit code */
export const runSuite = async (options: SuiteOptions, streams: Streams): Promise<number> => {
  const { firecracker, args, signal, say } = options;
  const folder = await mkdtemp(join(tmpdir(), 'bgt-suite-'));
  try {
    say('bringing the tests, the product and its image together');
    await cp(repository, join(folder, 'repository'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !isLeftOut(path),
    });
    // Firecracker runs as a user of its own.
    await chmod(folder, 0o755);
    await copyFile(firecracker, join(folder, 'firecracker'));
    const jailer = join(dirname(firecracker), 'jailer');
    if (existsSync(jailer)) await copyFile(jailer, join(folder, 'jailer'));
    const cache = join(folder, 'home', '.cache', 'banger');
    await mkdir(cache, { recursive: true });
    {
      await using exec = await openExecutor();
      await bringImage(cache, exec);
    }
    await using host = await bootTestHost({ dir: folder, signal, say });
    const limits = [`--testTimeout=${String(timeoutMs)}`, `--hookTimeout=${String(timeoutMs)}`];
    return await host.stream(
      [
        ...['node', 'node_modules/vitest/vitest.mjs', 'run', '--project', 'e2e-firecracker'],
        ...[...limits, '--maxWorkers=1', ...args],
      ],
      streams,
      {
        cwd: join(folderPath, 'repository'),
        env: {
          HOME: join(folderPath, 'home'),
          BANGER_TEST_ALL: '1',
          BANGER_TEST_FIRECRACKER: join(folderPath, 'firecracker'),
        },
      },
    );
  } finally {
    await rm(folder, { recursive: true });
  }
};
