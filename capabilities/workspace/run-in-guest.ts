import { BangerError, type Guest } from '../../core/plugin-api/index.ts';
import { guestExit } from './guest-scripts.ts';

export interface GuestRun {
  readonly signal: AbortSignal;
  /** Standard input; empty where absent. */
  readonly input?: AsyncIterable<Uint8Array>;
  onOutput?(chunk: Buffer): void | Promise<void>;
  /** Bytes of standard output after which the guest is not listened to any more. */
  readonly maxOutput: number;
}

/** The last of standard error that goes into a message. */
const errorTail = 2000;

/**
 * Runs a script in a guest. Its answer is a stranger's: bounded, and for the caller to check.
 * @throws BangerError GUEST_FAILED, WORKSPACE_TOO_LARGE, and what the agent raises
 */
export const runInGuest = async (
  guest: Guest,
  vmName: string,
  script: string,
  args: readonly string[],
  { signal, input, onOutput, maxOutput }: GuestRun,
): Promise<void> => {
  let taken = 0;
  let said = '';
  const session = await guest.exec(
    {
      argv: ['/bin/sh', '-c', script, 'banger', ...args],
      cwd: '/',
      stdin: input !== undefined,
      onStdout: (chunk) => {
        taken += chunk.length;
        if (taken > maxOutput)
          throw new BangerError(
            'WORKSPACE_TOO_LARGE',
            `the guest sends more than the ${String(Math.floor(maxOutput / 1024 ** 2))} MiB that are allowed`,
          );
        return onOutput?.(chunk);
      },
      onStderr: (chunk) => {
        said = (said + chunk.toString('utf8')).slice(-errorTail);
      },
    },
    signal,
  );
  const isOver = session.result.then(
    () => true,
    () => true,
  );
  if (input !== undefined) {
    for await (const chunk of input) {
      // A command that has ended takes nothing more.
      if (await Promise.race([session.write(chunk).then(() => false), isOver])) break;
    }
    session.endInput();
  }
  const result = await session.result;
  if (result.kind === 'exit' && result.code === 0) return;
  throw explain(vmName, args[0] ?? '', result.kind === 'exit' ? result.code : undefined, said);
};

const explain = (
  vmName: string,
  path: string,
  code: number | undefined,
  said: string,
): BangerError => {
  switch (code) {
    case guestExit.noGit:
      return new BangerError('GUEST_FAILED', `there is no git in VM '${vmName}'`, {
        remedy: `Install it there (banger vm exec ${vmName} -- apt-get install -y git), or use an image that has it.`,
      });
    case guestExit.occupied:
      return new BangerError('GUEST_FAILED', `${path} in VM '${vmName}' is there already`, {
        remedy: 'Remove it, or name another folder with --guest-path.',
      });
    case guestExit.noRepository:
      return new BangerError(
        'GUEST_FAILED',
        `VM '${vmName}' has no repository at ${path} any more`,
        {
          remedy: 'Whoever moved it can move it back; nothing was changed.',
        },
      );
    case guestExit.noBase:
      return new BangerError('INPUT_INVALID', `VM '${vmName}' does not know that base commit`, {
        remedy: `See the commits there: banger vm exec -w ${path} ${vmName} -- git log.`,
      });
    default: {
      const how = said.trim() === '' ? `exit code ${String(code ?? 'none')}` : said.trim();
      return new BangerError('GUEST_FAILED', `git in VM '${vmName}' failed: ${how}`, {
        remedy: 'See what the message says; nothing was changed on the host.',
      });
    }
  }
};
