import type { FastifyInstance } from 'fastify';
import { BangerError } from '../../errors.ts';
import type { Leases } from '../../lifecycle/leases.ts';
import type { VmRecord } from '../../vm/record.ts';
import { whenClosed } from '../when-closed.ts';

interface Named {
  Params: { name: string };
}

/** A connection that stays open for as long as the client of an ephemeral VM is there, see leases.ts. */
export const leaseRoute = (
  server: FastifyInstance,
  find: (name: string) => Promise<Pick<VmRecord, 'id' | 'name' | 'ephemeral'>>,
  leases: Leases,
): void => {
  server.get<Named>('/v1/vms/:name/lease', async (request, reply) => {
    const vm = await find(request.params.name);
    if (!vm.ephemeral)
      throw new BangerError('INPUT_INVALID', `VM '${vm.name}' is not ephemeral; it needs no lease`);
    reply.hijack();
    const release = leases.take(vm.id);
    reply.raw.writeHead(200, { 'content-type': 'application/octet-stream' });
    reply.raw.flushHeaders();
    whenClosed(request.raw.socket, release);
  });
};
