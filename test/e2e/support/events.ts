import { request, type IncomingMessage } from 'node:http';
import { sseData } from '../../../cli/client/sse.ts';
import type { OperationEvent } from '../../../core/api/contract/types.ts';
import type { World } from './world.ts';

/** Reads an operation's events up to its end, as a client does that knows nothing but the id. */
export const readEvents = async (
  world: World,
  operationId: string,
  lastEventId?: number,
): Promise<OperationEvent[]> => {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({
      socketPath: world.socketPath,
      path: `/v1/operations/${operationId}/events`,
      agent: false,
      headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
    })
      .once('response', resolve)
      .once('error', reject)
      .end();
  });
  response.setEncoding('utf8');
  const events: OperationEvent[] = [];
  for await (const data of sseData(response as AsyncIterable<string>))
    events.push(JSON.parse(data) as OperationEvent);
  return events;
};
