import { link, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError, messageOf, newToken, type Executor } from '../../core/plugin-api/index.ts';
import { generateKey } from './generate-key.ts';

export interface ClientKey {
  readonly privatePath: string;
  /** One line of authorized_keys. */
  readonly publicKey: string;
}

/** -P '': a key with a passphrase fails at once instead of asking. */
const derivePublic = async (exec: Executor, privatePath: string): Promise<string> =>
  (await exec.run('ssh-keygen', ['-y', '-P', '', '-f', privatePath])).stdout.trim();

const readIfThere = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

/**
 * The configured key, which must be usable without a passphrase: readiness is a login of the daemon's.
 * @throws BangerError CONFIG_INVALID when it cannot be used
 */
export const configuredKey = async (exec: Executor, path: string): Promise<ClientKey> => {
  try {
    await readFile(path);
    // Not from the `.pub` beside it: that one says nothing of a passphrase, and may be another key's.
    return { privatePath: path, publicKey: await derivePublic(exec, path) };
  } catch (error) {
    throw new BangerError('CONFIG_INVALID', `ssh.key: ${path}: ${messageOf(error)}`, {
      remedy: 'Name a private key that your user can read and that has no passphrase.',
      cause: error,
    });
  }
};

/**
 * banger's own key, made at the first need. Of two daemons that make it at once, the one whose private half
 * is linked first wins; the public half is only ever derived from what is there.
 */
export const ownKey = async (exec: Executor, folder: string): Promise<ClientKey> => {
  const privatePath = join(folder, 'id_ed25519');
  if ((await readIfThere(privatePath)) === undefined) await makeKey(exec, folder, privatePath);
  const known = await readIfThere(`${privatePath}.pub`);
  if (known !== undefined) return { privatePath, publicKey: known.trim() };
  const publicKey = await derivePublic(exec, privatePath);
  // Whole or not at all, because another daemon may read it at this moment.
  const partial = `${privatePath}.${newToken(8)}`;
  await writeFile(partial, `${publicKey}\n`, { mode: 0o644 });
  await rename(partial, `${privatePath}.pub`);
  return { privatePath, publicKey };
};

const makeKey = async (exec: Executor, folder: string, privatePath: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const scratch = await mkdtemp(join(folder, '.new-'));
  try {
    const made = join(scratch, 'key');
    await generateKey(exec, made, 'banger');
    await link(made, privatePath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};
