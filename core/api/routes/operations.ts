import type { FastifyInstance } from 'fastify';
import type { Kernel } from '../../kernel.ts';
import type { OperationEvent } from '../contract/types.ts';

interface Identified {
  Params: { id: string };
}

/** https://html.spec.whatwg.org/multipage/server-sent-events.html */
const sse = (event: OperationEvent): string =>
  `id: ${String(event.seq)}\ndata: ${JSON.stringify(event)}\n\n`;

export const operationRoutes = (server: FastifyInstance, kernel: Kernel): void => {
  const { operations } = kernel;

  server.get<Identified>('/v1/operations/:id', (request) => operations.get(request.params.id));

  server.delete<Identified>('/v1/operations/:id', (request, reply) => {
    operations.cancel(request.params.id);
    return reply.status(202).send({});
  });

  server.get<Identified>('/v1/operations/:id/events', (request, reply) => {
    operations.get(request.params.id);
    const last = Number(request.headers['last-event-id'] ?? 0);
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    raw.flushHeaders();
    const stop = operations.follow(
      request.params.id,
      Number.isSafeInteger(last) ? last : 0,
      (event) => {
        raw.write(sse(event));
        if (event.type === 'end') raw.end();
      },
    );
    raw.once('close', stop);
  });
};
