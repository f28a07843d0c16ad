import { setTimeout as delay } from 'node:timers/promises';
import { BangerError, deadlineSignal } from '../../core/plugin-api/index.ts';

export interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The private key's text. */
  readonly privateKey: string;
  /** The key blob that the server must show, base64. */
  readonly hostKey: string;
}

/** Between attempts, milliseconds: sshd comes up a moment after the agent. */
const retryMs = 100;
/** A guest under emulation takes more than a second for a login. */
const attemptMs = 10_000;

type Outcome =
  | { readonly kind: 'ready' }
  /** Another attempt may end better. Without `why`: it was cut short. */
  | { readonly kind: 'unready'; readonly why?: string; readonly isRefused?: boolean }
  /** It answered, and would answer the same again. */
  | { readonly kind: 'refused'; readonly why: string };

const attempt = async (login: Login, signal: AbortSignal): Promise<Outcome> => {
  // Not before it is needed: a daemon whose VMs are never reached by SSH does without 10 ms and 5 MB.
  const { Client } = await import('ssh2');
  if (signal.aborted) return { kind: 'unready' };
  return new Promise((resolve) => {
    const client = new Client();
    let isOtherKey = false;
    const settle = (outcome: Outcome): void => {
      signal.removeEventListener('abort', onAbort);
      client.destroy();
      resolve(outcome);
    };
    const onAbort = (): void => {
      settle({ kind: 'unready' });
    };
    signal.addEventListener('abort', onAbort, { once: true });
    client
      .on('ready', () => {
        settle({ kind: 'ready' });
      })
      // Stays on: a destroyed client may still tell of an error.
      .on('error', (error) => {
        if (isOtherKey) settle({ kind: 'refused', why: 'it shows another host key' });
        else if (error.level === 'client-authentication')
          settle({ kind: 'refused', why: `it does not take our key for ${login.user}` });
        else {
          const isRefused = 'code' in error && error.code === 'ECONNREFUSED';
          settle({ kind: 'unready', why: error.message, isRefused });
        }
      })
      .on('close', () => {
        settle({ kind: 'unready', why: 'it closed the connection' });
      })
      .connect({
        host: login.host,
        port: login.port,
        username: login.user,
        privateKey: login.privateKey,
        readyTimeout: attemptMs,
        hostVerifier: (key: Buffer) => {
          isOtherKey = key.toString('base64') !== login.hostKey;
          return !isOtherKey;
        },
        algorithms: { serverHostKey: ['ssh-ed25519'] },
      });
  });
};

/**
 * Returns when a login with our key works, against the host key that we gave the guest.
 * @param onNobody called once, where the guest's network is up and nobody listens; what it throws ends the wait
 * @throws BangerError SSH_UNREACHABLE at the deadline, or at once for another host key or a refused login
 */
export const waitForSsh = async (
  login: Login,
  deadlineMs: number,
  signal: AbortSignal,
  onNobody: () => Promise<void> = () => Promise.resolve(),
): Promise<void> => {
  const either = deadlineSignal(deadlineMs, signal);
  let why = 'no answer';
  let isAsked = false;
  for (;;) {
    signal.throwIfAborted();
    if (either.aborted) {
      const seconds = String(deadlineMs / 1000);
      throw new BangerError(
        'SSH_UNREACHABLE',
        `no SSH login at ${login.host} within ${seconds} s: ${why}`,
      );
    }
    const outcome = await attempt(login, either);
    if (outcome.kind === 'ready') return;
    if (outcome.kind === 'refused')
      throw new BangerError('SSH_UNREACHABLE', `SSH at ${login.host}: ${outcome.why}`, {
        remedy: 'See /etc/ssh and /root/.ssh in the guest, by `banger vm exec`.',
      });
    why = outcome.why ?? why;
    if (outcome.isRefused === true && !isAsked) {
      isAsked = true;
      await onNobody();
    }
    // Ends early with the deadline, of which the loop's head tells.
    await delay(retryMs, undefined, { signal: either }).catch(() => undefined);
  }
};
