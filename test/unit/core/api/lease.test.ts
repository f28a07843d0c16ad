import { EventEmitter, once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { fastify, type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { leaseRoute } from '../../../../core/api/routes/lease.ts';
import { Leases } from '../../../../core/lifecycle/leases.ts';
import { tempDir } from '../../../support/temp-dir.ts';

describe('a lease of an ephemeral VM', () => {
  let server: FastifyInstance;
  let socketPath: string;
  /** `request` as one comes in, with its socket; `recovered` lets it find the VM; `lost` as the VM is. */
  let events: EventEmitter;

  beforeEach(async () => {
    events = new EventEmitter();
    server = fastify({ forceCloseConnections: true });
    server.addHook('onRequest', (request, _reply, done) => {
      events.emit('request', request.raw.socket);
      done();
    });
    const find = async (name: string) => {
      await once(events, 'recovered');
      return { id: 'vm-1', name, ephemeral: true };
    };
    leaseRoute(server, find, new Leases((vmId) => events.emit('lost', vmId)));
    socketPath = join(await tempDir(), 'socket');
    await server.listen({ path: socketPath });
  });

  afterEach(() => server.close());

  const ask = async () => {
    const client = get({ socketPath, path: '/v1/vms/box/lease' }).on('error', () => undefined);
    const [socket] = (await once(events, 'request')) as [Socket];
    return { client, socket };
  };

  it('ends with its client', async () => {
    const { client } = await ask();
    events.emit('recovered');
    const [response] = (await once(client, 'response')) as [IncomingMessage];
    const lost = once(events, 'lost');
    response.on('error', () => undefined).destroy();

    await expect(lost).resolves.toEqual(['vm-1']);
  });

  it('is over at once where its client went while it waited for the VM’s recovery', async () => {
    const { client, socket } = await ask();
    client.destroy();
    await once(socket, 'close');
    const lost = once(events, 'lost');
    events.emit('recovered');

    await expect(lost).resolves.toEqual(['vm-1']);
  });
});
