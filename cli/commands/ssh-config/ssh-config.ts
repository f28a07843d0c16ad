import {
  chmod,
  chown,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { SshClient } from '../../../capabilities/ssh/contract.ts';
import type { Cli } from '../../cli.ts';
import { CliError, codeOf, usageError } from '../../error.ts';
import { includeLine, sshConfigBlock, withInclude, withoutInclude } from './block.ts';

export interface SshConfigOptions {
  readonly install?: true | undefined;
  readonly uninstall?: true | undefined;
}

/** OpenSSH takes the home from the password file, whatever $HOME says. */
const userConfig = (): string => join(userInfo().homedir, '.ssh', 'config');

export const sshConfig = async (cli: Cli, options: SshConfigOptions): Promise<void> => {
  if (options.install === true && options.uninstall === true)
    throw usageError('--install and --uninstall are two things', 'Choose one of them.');
  const path = join(cli.paths.configDirectory, 'ssh_config');
  if (options.uninstall === true) {
    const isChanged = await change(userConfig(), (text) => withoutInclude(text, includeLine(path)));
    await rm(path, { force: true });
    if (!cli.isQuiet)
      cli.say(isChanged ? `took it out of ${userConfig()}` : `it was not in ${userConfig()}`);
    return;
  }
  const client = await cli.client.post<SshClient>('/v1/x/ssh/client');
  const block = sshConfigBlock({ ...client, banger: ourselves(cli) });
  if (options.install !== true) {
    cli.out(block);
    return;
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await replace(path, block, 0o644);
  const isChanged = await change(userConfig(), (text) => withInclude(text, includeLine(path)));
  if (cli.isQuiet) return;
  cli.say(isChanged ? `one line was added to ${userConfig()}` : `${userConfig()} has it already`);
  cli.say('Now: ssh NAME.vm, scp, rsync, VS Code. Back: banger ssh-config --uninstall');
};

/** By absolute paths, since an editor that calls ssh may have another PATH; with what says which daemon is ours. */
const ourselves = ({ env }: Cli): string[] => {
  const own = ['BANGER_CONFIG', 'BANGER_STATE_DIR', 'BANGER_RUNTIME_DIR'].flatMap((name) => {
    const value = env[name];
    return value === undefined || value === '' ? [] : [`${name}=${resolve(value)}`];
  });
  const program = [process.execPath, resolve(process.argv[1] ?? '')];
  return own.length === 0 ? program : ['/usr/bin/env', ...own, ...program];
};

/** Changes a file of the user's, and nothing else about it. @returns whether there was anything to change */
const change = async (path: string, edit: (text: string) => string): Promise<boolean> => {
  try {
    const text = await orAbsent(readFile(path, 'utf8'));
    const changed = edit(text ?? '');
    if (changed === (text ?? '')) return false;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    // Through a symlink, as into a folder of dotfiles: the link stays.
    await replace(text === undefined ? path : await realpath(path), changed, 0o600);
    return true;
  } catch (error) {
    throw new CliError({
      code: 'FILE_UNREADABLE',
      message: `${path} cannot be changed: ${codeOf(error) ?? String(error)}`,
      remedy: 'Mend that, or add the line yourself: `banger ssh-config` prints what it includes.',
    });
  }
};

/** Whole or not at all, with the mode and owner that it had. */
const replace = async (path: string, text: string, mode: number): Promise<void> => {
  const before = await orAbsent(stat(path));
  const partial = `${path}.banger-${String(process.pid)}`;
  try {
    await writeFile(partial, text, { mode: 0o600, flag: 'wx' });
    await chmod(partial, before === undefined ? mode : before.mode & 0o7777);
    if (before !== undefined) await chown(partial, before.uid, before.gid);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
};

const orAbsent = async <T>(work: Promise<T>): Promise<T | undefined> => {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
};
