import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'ssh2';
import { BangerError, messageOf } from '../../core/plugin-api/index.ts';

export interface SshTarget {
  readonly host: string;
  readonly port: number;
  readonly privateKey: string;
  /** The key blob that the guest must show, base64. */
  readonly hostKey: string;
}

/** Between attempts, milliseconds: sshd comes up a moment after the agent. */
const retryMs = 100;
const attemptMs = 10_000;

class WrongHostKey extends Error {}

const attempt = (target: SshTarget, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const client = new Client();
    let isWrong = false;
    const settle = (error?: Error): void => {
      signal.removeEventListener('abort', onAbort);
      client.end();
      if (error === undefined) resolve();
      else reject(isWrong ? new WrongHostKey('the guest shows another host key') : error);
    };
    const onAbort = (): void => {
      client.destroy();
      settle(new Error('given up'));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    client
      .on('ready', () => {
        settle();
      })
      .on('error', settle)
      .on('close', () => {
        settle(new Error('the connection was closed'));
      })
      .connect({
        host: target.host,
        port: target.port,
        username: 'root',
        privateKey: target.privateKey,
        readyTimeout: attemptMs,
        hostVerifier: (key: Buffer) => {
          isWrong = key.toString('base64') !== target.hostKey;
          return !isWrong;
        },
        algorithms: { serverHostKey: ['ssh-ed25519'] },
      });
  });

/**
 * Returns when a login as root with our key works, against the host key that we gave the guest.
 * @throws BangerError SSH_UNREACHABLE at the deadline, or at once for another host key
 */
export const waitForSsh = async (
  target: SshTarget,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> => {
  const either = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]);
  for (;;) {
    try {
      await attempt(target, either);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof WrongHostKey) {
        throw new BangerError('SSH_UNREACHABLE', `${target.host}: ${error.message}`, {
          remedy: 'Something else answers there, or sshd in the guest has other keys.',
        });
      }
      if (either.aborted) {
        throw new BangerError(
          'SSH_UNREACHABLE',
          `no SSH login at ${target.host} within ${String(deadlineMs / 1000)} s: ${messageOf(error)}`,
        );
      }
      await delay(retryMs, undefined, { signal: either }).catch(() => undefined);
    }
  }
};
