import { link, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError, messageOf, type Executor } from '../../core/plugin-api/index.ts';

export interface ClientKey {
  readonly privatePath: string;
  /** One line of authorized_keys. */
  readonly publicKey: string;
}

/** ssh-keygen rather than a library's generator: some of those keys cannot be read by others. */
export const generateKey = async (exec: Executor, path: string, comment: string): Promise<void> => {
  await exec.run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path]);
};

const readPublic = async (exec: Executor, privatePath: string): Promise<string> => {
  try {
    return (await readFile(`${privatePath}.pub`, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    // -P '': a key with a passphrase fails at once instead of asking.
    return (await exec.run('ssh-keygen', ['-y', '-P', '', '-f', privatePath])).stdout.trim();
  }
};

/**
 * The configured key.
 * @throws BangerError CONFIG_INVALID when it cannot be read
 */
export const configuredKey = async (exec: Executor, path: string): Promise<ClientKey> => {
  try {
    await readFile(path);
    return { privatePath: path, publicKey: await readPublic(exec, path) };
  } catch (error) {
    throw new BangerError('CONFIG_INVALID', `ssh.key: ${path}: ${messageOf(error)}`, {
      remedy: 'Name a private key that your user can read and that has no passphrase.',
      cause: error,
    });
  }
};

/** banger's own key, made at the first need. Of two daemons that make it at once, one wins. */
export const ownKey = async (exec: Executor, folder: string): Promise<ClientKey> => {
  const privatePath = join(folder, 'id_ed25519');
  const read = async (): Promise<ClientKey> => {
    await readFile(privatePath);
    return { privatePath, publicKey: await readPublic(exec, privatePath) };
  };
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const scratch = await mkdtemp(join(folder, '.new-'));
  try {
    const made = join(scratch, 'id_ed25519');
    await generateKey(exec, made, 'banger');
    // The public half first: whoever sees the private one finds both.
    for (const suffix of ['.pub', ''])
      await linkOrKeep(`${made}${suffix}`, `${privatePath}${suffix}`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  const key = await read();
  // Halves of two daemons' keys would not fit each other.
  const derived = await exec.run('ssh-keygen', ['-y', '-P', '', '-f', privatePath]);
  return { ...key, publicKey: derived.stdout.trim() };
};

const linkOrKeep = async (from: string, to: string): Promise<void> => {
  try {
    await link(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
};
