import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError, newToken, type Guest } from '../../core/plugin-api/index.ts';
import { exportScript } from './guest-scripts.ts';
import { runInGuest } from './run-in-guest.ts';
import { emptyTree } from './snapshot.ts';
import type { View } from './view.ts';

/** A guest's patch on the host. It is a stranger's text until `tryPatch` has had it. */
export interface Patch {
  readonly path: string;
  readonly bytes: number;
  /** The guest's own word for its state: fit to be compared with what it says later, and for nothing else. */
  readonly tree: string;
}

/** `tree ID\n` before the patch; no id of git's is longer than 64 digits. */
const header = /^tree ([0-9a-f]{40}|[0-9a-f]{64})\n/;
const headerMax = 70;

/**
 * Asks the guest for its working tree as a patch.
 * @param folder gets the patch, as `guest.patch`, once it is whole
 * @throws BangerError WORKSPACE_TOO_LARGE, GUEST_DATA, GUEST_FAILED, INPUT_INVALID (base unknown there)
 */
export const fetchPatch = async (
  guest: Guest,
  vmName: string,
  { guestPath, base, maxPatch }: { guestPath: string; base: string; maxPatch: number },
  folder: string,
  signal: AbortSignal,
): Promise<Patch> => {
  const part = join(folder, `patch-${newToken(8)}`);
  const file = await open(part, 'wx', 0o600);
  try {
    let tree: string | undefined;
    let head: Buffer = Buffer.alloc(0);
    const bound = new PayloadBound(maxPatch);
    try {
      await runInGuest(guest, vmName, exportScript, [guestPath, base], {
        signal,
        maxOutput: maxPatch,
        onOutput: async (chunk) => {
          let rest = chunk;
          if (tree === undefined) {
            head = Buffer.concat([head, chunk]);
            tree = header.exec(head.toString('latin1', 0, headerMax))?.[1];
            if (tree === undefined) {
              if (head.length >= headerMax) throw nonsense(vmName);
              return;
            }
            rest = head.subarray('tree \n'.length + tree.length);
          }
          bound.push(rest);
          await file.write(rest);
        },
      });
    } finally {
      await file.close();
    }
    if (tree === undefined) throw nonsense(vmName);
    const path = join(folder, 'guest.patch');
    await rename(part, path);
    return { path, bytes: (await stat(path)).size, tree };
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
};

const nonsense = (vmName: string): BangerError =>
  new BangerError('GUEST_DATA', `VM '${vmName}' sends something else than a patch`);

/**
 * Adds up what binary parts say they unfold to: a megabyte can become a gigabyte. In a patch only these lines begin
 * with these words; lines of text begin with a space, `+`, `-` or `\`.
 */
class PayloadBound {
  readonly #most: number;
  #sum = 0;
  #line = '';

  constructor(most: number) {
    this.#most = most;
  }

  push(chunk: Buffer): void {
    const lines = (this.#line + chunk.toString('latin1')).split('\n');
    // Longer lines than these are text, and are only passed by.
    this.#line = (lines.pop() ?? '').slice(0, 200);
    for (const line of lines) {
      const [, size] = /^(?:literal|delta) (\d{1,20})$/.exec(line) ?? [];
      if (size === undefined) continue;
      this.#sum += Number(size);
      if (this.#sum > this.#most)
        throw new BangerError(
          'WORKSPACE_TOO_LARGE',
          `the guest’s patch unfolds to more than the ${String(Math.floor(this.#most / 1024 ** 2))} MiB that are allowed`,
        );
    }
  }
}

/** Bytes of address space for git beside what the patch itself needs, in memory several times over. */
const gitNeeds = 2 * 1024 ** 3;

/**
 * Applies a patch to a base in an index of the view's own, where no file is touched, and where git refuses paths
 * that lead outside, into `.git` or through a symlink.
 * @returns the tree that comes of it, which is the guest's: what was lost on the way would make another one
 * @throws BangerError GUEST_DATA
 */
export const tryPatch = async (
  view: View,
  base: string | null,
  patch: Patch,
  maxPatch: number,
  signal: AbortSignal,
): Promise<string> => {
  const index = join(view.gitDir, `index-${newToken(8)}`);
  const env = { GIT_INDEX_FILE: index };
  try {
    await view.git(base === null ? ['read-tree', '--empty'] : ['read-tree', base], { signal, env });
    if (patch.bytes > 0) {
      await view
        .bounded(
          ['apply', '--cached', '--whitespace=nowarn', patch.path],
          gitNeeds + 4 * maxPatch,
          {
            signal,
            env,
          },
        )
        .catch((error: unknown) => {
          if (!(error instanceof BangerError) || error.code !== 'COMMAND_FAILED') throw error;
          const said = error.message.replace(/^.*?: (?=error|fatal)/s, '');
          throw new BangerError('GUEST_DATA', `the guest’s patch cannot be taken: ${said}`, {
            cause: error,
          });
        });
    }
    const tree = (await view.git(['write-tree'], { signal, env })).stdout.trim();
    if (tree !== patch.tree)
      throw new BangerError(
        'GUEST_DATA',
        'the guest’s patch does not lead to what the guest says that it has',
      );
    return tree;
  } finally {
    await rm(index, { force: true });
    await rm(`${index}.lock`, { force: true });
  }
};

/** What the guest is asked for a patch against. */
export const baseTree = (base: string | null, format: 'sha1' | 'sha256'): string =>
  base ?? emptyTree(format);
