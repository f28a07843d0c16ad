import type { Connect } from './connect.ts';
import { Connection } from './connection.ts';
import { FrameType, NOBODY } from './frames.ts';

/**
 * Ends what an earlier client of this stream has begun; resolves when the guest says that it is dead.
 * @throws AgentError AGENT_UNREACHABLE, AGENT_LOST; the signal's reason
 */
export const endEarlierSession = async (connect: Connect, signal: AbortSignal): Promise<void> => {
  // That it asks for this by itself is the protocol.
  const connection = new Connection(await connect(signal));
  try {
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      connection.attach({
        id: NOBODY,
        onFrame: ({ type }) => {
          if (type === FrameType.closed) resolve();
        },
        onLost: reject,
      });
    });
  } finally {
    connection.destroy();
  }
};
