import { within } from '../../core/plugin-api/index.ts';
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
    const closed = new Promise<void>((resolve, reject) => {
      connection.attach({
        id: NOBODY,
        onFrame: ({ type }) => {
          if (type === FrameType.closed) resolve();
        },
        onLost: reject,
      });
    });
    await within(signal, closed);
  } finally {
    connection.destroy();
  }
};
