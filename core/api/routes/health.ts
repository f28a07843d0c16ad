import type { FastifyInstance } from 'fastify';
import { deadlineSignal } from '../../deadline.ts';
import { messageOf } from '../../errors.ts';
import type { Kernel } from '../../kernel.ts';
import { GuestsRef } from '../../plugin-api/services/guest.ts';
import type { VmHealth } from '../contract/types.ts';

interface Named {
  Params: { name: string };
}

/** How long an agent may take to answer, milliseconds: an idle one under emulation takes one or two. */
const agentDeadlineMs = 2_000;

/** Whether a VM runs and its agent answers, now. */
export const healthRoute = (server: FastifyInstance, kernel: Kernel): void => {
  const { vms, recovery, registry, log } = kernel;

  server.get<Named>('/v1/vms/:name/health', async (request): Promise<VmHealth> => {
    await recovery.of(vms.get(request.params.name).id);
    const vm = vms.get(request.params.name);
    if (vm.run.state !== 'running') return { name: vm.name, state: vm.run.state, agent: 'none' };
    let agent: VmHealth['agent'] = 'ok';
    try {
      const guest = registry.service(GuestsRef)?.of(vm);
      if (guest === undefined) agent = 'none';
      else await guest.health(deadlineSignal(agentDeadlineMs));
    } catch (error) {
      log.debug({ vm: vm.name, error: messageOf(error) }, 'the agent does not answer');
      agent = 'unreachable';
    }
    // It may have gone while we asked.
    const state = vms.find(vm.id)?.run.state ?? 'stopped';
    return { name: vm.name, state, agent: state === 'running' ? agent : 'none' };
  });
};
