import type { FastifyInstance } from 'fastify';
import { copy } from '../../copy/copy.ts';
import type { Kernel } from '../../kernel.ts';
import { runningGuest } from '../../lifecycle/guest-of.ts';
import { copyRequest } from '../contract/schemas.ts';
import { parseInput } from '../errors.ts';
import { recoveredVm } from '../recovered-vm.ts';
import { vmSummary } from '../view.ts';

interface Named {
  Params: { name: string };
}

/** Files in and out, as an operation that takes no turn: a VM takes any number at once. */
export const copyRoute = (server: FastifyInstance, kernel: Kernel): void => {
  const { registry, operations } = kernel;

  server.post<Named>('/v1/vms/:name/copy', async (request, reply) => {
    const vm = await recoveredVm(kernel, request.params.name);
    const input = parseInput(copyRequest, request.body);
    const guest = runningGuest(registry, vm);
    const { operation } = operations.begin({ kind: 'copy', vm }, async (running) => {
      running.stage('copy');
      return { ...(await copy(guest, input, running)) };
    });
    return reply.status(202).send({ operation, vm: vmSummary(vm) });
  });
};
