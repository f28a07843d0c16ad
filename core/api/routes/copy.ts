import type { FastifyInstance } from 'fastify';
import { copy } from '../../copy/copy.ts';
import { BangerError } from '../../errors.ts';
import type { Kernel } from '../../kernel.ts';
import { GuestsRef, type Guest } from '../../plugin-api/services/guest.ts';
import type { Vm } from '../../vm/repository.ts';
import { copyRequest } from '../contract/schemas.ts';
import { parseInput } from '../errors.ts';
import { vmSummary } from '../view.ts';

interface Named {
  Params: { name: string };
}

/** Files in and out, as an operation that takes no turn: a VM takes any number at once. */
export const copyRoute = (server: FastifyInstance, kernel: Kernel): void => {
  const { vms, recovery, registry, operations } = kernel;

  const guestOf = (vm: Vm): Guest => {
    const guest = vm.run.state === 'running' ? registry.service(GuestsRef)?.of(vm) : undefined;
    if (guest === undefined)
      throw new BangerError('VM_NOT_RUNNING', `VM '${vm.name}' is ${vm.run.state}`);
    return guest;
  };

  server.post<Named>('/v1/vms/:name/copy', async (request, reply) => {
    const { name } = request.params;
    await recovery.of(vms.get(name).id);
    const vm = vms.get(name);
    const input = parseInput(copyRequest, request.body);
    const guest = guestOf(vm);
    const { operation } = operations.begin({ kind: 'copy', vm }, async (running) => {
      running.stage('copy');
      return { ...(await copy(guest, input, running)) };
    });
    return reply.status(202).send({ operation, vm: vmSummary(vm) });
  });
};
