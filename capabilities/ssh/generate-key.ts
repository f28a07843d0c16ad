import type { Executor } from '../../core/plugin-api/index.ts';

/** ssh-keygen rather than ssh2's generator: 0.4 % of that one's ed25519 keys cannot be read. */
export const generateKey = async (
  exec: Executor,
  path: string,
  comment: string,
  signal?: AbortSignal,
): Promise<void> => {
  await exec.run(
    'ssh-keygen',
    ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path],
    signal === undefined ? {} : { signal },
  );
};
