import { existsSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { BangerError } from '../errors.ts';

/** Where everything is; the CLI and the daemon read the same environment and so agree. */
export interface Paths {
  /** config.toml, which need not exist. */
  readonly configPath: string;
  /** The folder of config.toml, keys and such. */
  readonly configDirectory: string;
  readonly stateDirectory: string;
  readonly runtimeDirectory: string;
  readonly socketPath: string;
  readonly daemonLogPath: string;
  readonly cacheDirectory: string;
}

/** sun_path of unix(7) is 108 bytes with its terminating NUL. */
const maxSocketPath = 107;

/** An empty variable counts as unset, as the XDG base directory specification has it. */
const value = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

/** @throws BangerError CONFIG_INVALID for a runtime directory whose path is too long for a socket */
export const resolvePaths = (env: NodeJS.ProcessEnv): Paths => {
  const home = value(env['HOME']) ?? homedir();
  const configPath =
    value(env['BANGER_CONFIG']) ??
    join(value(env['XDG_CONFIG_HOME']) ?? join(home, '.config'), 'banger', 'config.toml');
  const stateDirectory =
    value(env['BANGER_STATE_DIR']) ??
    join(value(env['XDG_STATE_HOME']) ?? join(home, '.local', 'state'), 'banger');
  const runtimeDirectory =
    value(env['BANGER_RUNTIME_DIR']) ?? defaultRuntimeDirectory(env, stateDirectory);
  const socketPath = join(runtimeDirectory, 'banger.sock');
  if (Buffer.byteLength(socketPath) > maxSocketPath) {
    throw new BangerError(
      'CONFIG_INVALID',
      `the socket path ${socketPath} is longer than the kernel's ${String(maxSocketPath)} bytes`,
      { remedy: 'Set BANGER_RUNTIME_DIR to a shorter path.' },
    );
  }
  return {
    configPath,
    configDirectory: dirname(configPath),
    stateDirectory,
    runtimeDirectory,
    socketPath,
    daemonLogPath: join(stateDirectory, 'daemon.log'),
    cacheDirectory: join(value(env['XDG_CACHE_HOME']) ?? join(home, '.cache'), 'banger'),
  };
};

const defaultRuntimeDirectory = (env: NodeJS.ProcessEnv, stateDirectory: string): string => {
  const given = value(env['XDG_RUNTIME_DIR']);
  if (given !== undefined) return join(given, 'banger');
  const ofUser = `/run/user/${String(userInfo().uid)}`;
  return existsSync(ofUser) ? join(ofUser, 'banger') : join(stateDirectory, 'run');
};
