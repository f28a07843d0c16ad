import type { FastifyInstance } from 'fastify';
import { BangerError } from '../../errors.ts';
import type { Kernel } from '../../kernel.ts';
import type { OperationContext } from '../../operation/context.ts';
import type { ActionInfo, Operation } from '../contract/types.ts';
import { parseInput } from '../errors.ts';

const nothing = (): void => undefined;

/** The VM that an action's input names is in use until the action is through. */
const useOf = (kernel: Kernel, input: unknown): (() => void) => {
  const name = typeof input === 'object' && input !== null && 'vm' in input ? input.vm : undefined;
  const vm = typeof name === 'string' ? kernel.vms.find(name) : undefined;
  return vm === undefined ? nothing : kernel.usage.begin(vm.id);
};

export const actionRoutes = (server: FastifyInstance, kernel: Kernel): void => {
  const { registry, operations, recovery, vms, log } = kernel;

  /** An input that names a VM in `vm` waits for that VM's recovery, as every request for a VM does. */
  const recovered = async (input: unknown): Promise<void> => {
    if (typeof input !== 'object' || input === null || !('vm' in input)) return;
    const vm = typeof input.vm === 'string' ? vms.find(input.vm) : undefined;
    if (vm !== undefined) await recovery.of(vm.id);
  };

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
      const endUse = action.onlyLooks ? nothing : useOf(kernel, input);
      await recovered(input);
      if (action.mode === 'operation') {
        const { operation, settled } = operations.begin(
          { kind: `${capability} ${name}` },
          async (running) => (await action.run(input, running)) as Operation['result'],
        );
        void settled.then(endUse);
        return reply.status(202).send({ operation });
      }
      // The client that goes away wants no answer any more.
      const gone = new AbortController();
      request.raw.socket.once('close', () => {
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
      const output = await action.run(input, context).finally(endUse);
      return reply.send(output);
    },
  );
};
