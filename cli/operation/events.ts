import { setTimeout as delay } from 'node:timers/promises';
import type { OperationEvent } from '../../core/api/contract/types.ts';
import { isCut } from '../client/call.ts';
import type { DaemonClient } from '../client/daemon-client.ts';
import { sseData } from '../client/sse.ts';
import { CliError } from '../error.ts';

/** Together about ten seconds without one event. */
const maxFailures = 20;

/** An operation's whole story up to its `end`, over as many connections as that takes. */
export async function* operationEvents(
  client: DaemonClient,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<OperationEvent> {
  let last = 0;
  for (let failures = 0; failures < maxFailures; failures++) {
    try {
      const response = await client.open({
        method: 'GET',
        path: `/v1/operations/${id}/events`,
        headers: { 'last-event-id': String(last) },
        signal,
      });
      response.setEncoding('utf8');
      for await (const data of sseData(response as AsyncIterable<string>)) {
        const event = JSON.parse(data) as OperationEvent;
        last = event.seq;
        failures = 0;
        yield event;
        if (event.type === 'end') return;
      }
    } catch (error) {
      if (!isCut(error) && !isUnreachable(error)) throw error;
    }
    await delay(Math.min(1_000, 50 * (failures + 1)), undefined, { signal });
  }
  throw new CliError({
    code: 'DAEMON_UNREACHABLE',
    message: 'the daemon stopped telling how the operation goes',
    remedy: 'It may go on by itself: see `banger vm list` and `banger daemon logs`.',
    operationId: id,
  });
}

const isUnreachable = (error: unknown): boolean =>
  error instanceof CliError && error.body.code === 'DAEMON_UNREACHABLE';
