import type { FastifyInstance } from 'fastify';
import { BangerError } from '../../errors.ts';
import type { Kernel } from '../../kernel.ts';
import type { OperationContext } from '../../operation/context.ts';
import type { Vm, VmRepository } from '../../vm/repository.ts';
import type { ActionInfo, Operation } from '../contract/types.ts';
import { parseInput } from '../errors.ts';
import { whenClosed } from '../when-closed.ts';

const nothing = (): void => undefined;

/** The VM that an action's input names in `vm`. */
const namedVm = (vms: VmRepository, input: unknown): Vm | undefined => {
  const name = typeof input === 'object' && input !== null && 'vm' in input ? input.vm : undefined;
  return typeof name === 'string' ? vms.find(name) : undefined;
};

export const actionRoutes = (server: FastifyInstance, kernel: Kernel): void => {
  const { registry, operations, recovery, vms, usage, log } = kernel;

  server.get('/v1/x', () => {
    const actions: ActionInfo[] = registry.enabled.flatMap(({ capability, handlers }) =>
      Object.entries(handlers.actions ?? {}).map(([action, { summary, mode }]) => ({
        capability: capability.id,
        action,
        summary,
        mode,
      })),
    );
    return { actions };
  });

  server.post<{ Params: { capability: string; action: string } }>(
    '/v1/x/:capability/:action',
    async (request, reply) => {
      await recovery.ofHost();
      const { capability, action: name } = request.params;
      const action = registry.action(capability, name);
      const input = parseInput(action.input, request.body);
      // As every request for a VM: it waits for that VM's recovery, and the VM is in use until it is through.
      const vm = namedVm(vms, input);
      if (vm !== undefined) await recovery.of(vm.id);
      const beginUse = (): (() => void) =>
        vm === undefined || action.onlyLooks ? nothing : usage.begin(vm.id);
      if (action.mode === 'operation') {
        const { operation, settled } = operations.begin(
          { kind: `${capability} ${name}` },
          async (running) => (await action.run(input, running)) as Operation['result'],
        );
        void settled.then(beginUse());
        return reply.status(202).send({ operation });
      }
      // The client that goes away wants no answer any more.
      const gone = new AbortController();
      whenClosed(request.raw.socket, () => {
        gone.abort(new BangerError('OPERATION_CANCELLED', 'the client is gone'));
      });
      const context: OperationContext = {
        id: request.id,
        kind: `${capability} ${name}`,
        signal: gone.signal,
        log,
        progress: () => undefined,
        notice: (text) => {
          log.info({ capability }, text);
        },
      };
      return reply.send(await action.run(input, context).finally(beginUse()));
    },
  );
};
