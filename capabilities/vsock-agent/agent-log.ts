import type { Agent } from './agent.ts';
import { AgentError } from './agent-error.ts';

/** Where the agent keeps what it has to say, oldest first: guest/log.h. Each is at most 64 KiB and a line. */
const files = ['/run/banger/agent.log.1', '/run/banger/agent.log'];

/** A guest may put anything there: no more than this is taken of a file. */
const fileMax = 128 * 1024;

/** The end of what the agent has logged; nothing where it has logged nothing. */
export const readAgentLog = async (agent: Agent, signal: AbortSignal): Promise<Buffer> => {
  const parts: Buffer[] = [];
  for (const path of files) {
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > fileMax)
        throw new AgentError('AGENT_BAD_ANSWER', `${path} is larger than the agent makes it`);
      parts.push(Buffer.from(chunk));
    };
    try {
      await agent.getFile({ path, onData, signal });
    } catch (error) {
      // It is not there yet, or no older one is.
      if (!(error instanceof AgentError) || error.code !== 'AGENT_REFUSED') throw error;
    }
  }
  return Buffer.concat(parts);
};
