import { mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import {
  BangerError,
  bootstrapMode,
  toBangerError,
  type Executor,
} from '../../core/plugin-api/index.ts';
import type { ImageRecipe } from './recipe.ts';

export interface BootstrapOptions {
  readonly exec: Executor;
  readonly signal: AbortSignal;
  /** For mmdebstrap's temporary tree of some 500 MB. */
  readonly scratch: string;
  /** Keeps the packages that an earlier attempt has downloaded. */
  readonly downloads: string;
  /** Gets all that was said, when it fails. */
  readonly logPath: string;
  onLine(line: string): void;
}

const timeoutMs = 30 * 60_000;
const archives = '/var/cache/apt/archives';

/** mmdebstrap splits a hook's words as a shell would, so other paths do without the downloads' cache. */
const isPlain = (path: string): boolean => /^[\w./+@-]+$/.test(path);

/**
 * Packages go to `downloads` as soon as they are there, before the minute of their installation; what is
 * there already is not downloaded again. apt checks each against the archive's size.
 */
const downloadHooks = (recipe: ImageRecipe, downloads: string): string[] => [
  // Its checks that nothing is in the archive folder before it, and that nothing stays after.
  '--skip=download/empty,essential/unlink',
  `--setup-hook=mkdir -p "$1${archives}/partial"`,
  `--setup-hook=sync-in ${downloads} ${archives}`,
  `--extract-hook=sync-out ${archives} ${downloads}`,
  `--essential-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes --download-only install ${recipe.packages.join(' ')}`,
  `--essential-hook=sync-out ${archives} ${downloads}`,
];

/** What the failure means, as far as the output tells. */
const explain = (error: BangerError, lines: readonly string[], logPath: string): BangerError => {
  const said = (pattern: RegExp): boolean => lines.some((line) => pattern.test(line));
  const details = { cause: error, logPath };
  if (said(/No space left on device|enough free space in/))
    return new BangerError('DISK_FULL', error.message, details);
  if (error.code !== 'COMMAND_FAILED') return error;
  if (said(/NO_PUBKEY|is not signed/)) {
    return new BangerError(
      'IMAGE_BUILD_FAILED',
      `apt cannot verify the archive: ${error.message}`,
      {
        ...details,
        remedy: 'Install the archive’s keys: sudo apt-get install debian-archive-keyring',
      },
    );
  }
  if (said(/Temporary failure resolving|Could not resolve|Could not connect|Failed to fetch/)) {
    return new BangerError(
      'IMAGE_BUILD_FAILED',
      `the packages cannot be downloaded: ${error.message}`,
      {
        ...details,
        remedy: 'See that this host reaches its package mirror, then run the command again.',
      },
    );
  }
  return new BangerError('IMAGE_BUILD_FAILED', error.message, details);
};

/** The packages of a recipe, installed, as a tar archive that this user owns. */
export const bootstrap = async (
  recipe: ImageRecipe,
  archive: string,
  { exec, signal, scratch, downloads, logPath, onLine }: BootstrapOptions,
): Promise<void> => {
  await exec.require('mmdebstrap', 'tar');
  const { mode, privileged } = await bootstrapMode(exec);
  const lines: string[] = [];
  const keepsDownloads = isPlain(downloads);
  if (keepsDownloads) await mkdir(downloads, { recursive: true });
  try {
    // timeout(1) passes a TERM on to the whole process group; mmdebstrap by itself lets apt and dpkg come to
    // their end first, half a minute.
    await exec.run(
      'timeout',
      [
        String(timeoutMs / 1000),
        'mmdebstrap',
        `--mode=${mode}`,
        '--variant=minbase',
        '--verbose',
        ...(keepsDownloads ? downloadHooks(recipe, downloads) : []),
        `--include=${recipe.packages.join(',')}`,
        // A mirror is not named: mmdebstrap takes the host's, or the distribution's own.
        recipe.suite,
        archive,
      ],
      {
        privileged,
        signal,
        timeoutMs,
        // Not /tmp, which may be in memory. In a namespace of its own mmdebstrap is another user, who cannot
        // reach into this one's home.
        env: { TMPDIR: mode === 'unshare' ? '/var/tmp' : scratch },
        onLine: (line) => {
          lines.push(line);
          onLine(line);
        },
      },
    );
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    await writeFile(logPath, `${lines.join('\n')}\n`);
    throw explain(toBangerError(thrown), lines, logPath);
  }
  if (privileged) {
    const { uid, gid } = userInfo();
    await exec.run('chown', ['--', `${uid}:${gid}`, archive], { privileged, signal });
  }
};
