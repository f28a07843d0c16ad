import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Kernel } from '../../kernel.ts';
import type { Vm } from '../../vm/repository.ts';
import { createVm, deleteVm, setVm } from '../contract/schemas.ts';
import type { Operation } from '../contract/types.ts';
import { parseInput } from '../errors.ts';
import { recoveredVm } from '../recovered-vm.ts';
import { vmDetails, vmListed, vmSummary } from '../view.ts';

interface Named {
  Params: { name: string };
}

export const vmRoutes = (server: FastifyInstance, kernel: Kernel): void => {
  const { vms, lifecycle, recovery } = kernel;

  const find = (name: string): Promise<Vm> => recoveredVm(kernel, name);

  const answer = (
    reply: FastifyReply,
    operation: Operation | undefined,
    id: string,
  ): FastifyReply => {
    const vm = vms.find(id);
    const body = vm === undefined ? {} : { vm: vmSummary(vm) };
    return operation === undefined
      ? reply.status(200).send(body)
      : reply.status(202).send({ ...body, operation });
  };

  server.get('/v1/vms', async () => {
    await recovery.ofHost();
    return { vms: vms.list().map((vm) => vmListed(kernel, vm)) };
  });

  server.post('/v1/vms', async (request, reply) => {
    await recovery.ofHost();
    const { vm, operation } = await lifecycle.create(parseInput(createVm, request.body));
    if (operation === undefined) return reply.status(201).send({ vm: vmSummary(vm) });
    return answer(reply, operation, vm.id);
  });

  server.get<Named>('/v1/vms/:name', async (request) =>
    vmDetails(kernel, await find(request.params.name)),
  );

  server.patch<Named>('/v1/vms/:name', async (request, reply) => {
    const { id } = await find(request.params.name);
    return answer(reply, lifecycle.set(id, parseInput(setVm, request.body)), id);
  });

  server.post<Named>('/v1/vms/:name/start', async (request, reply) => {
    const { id } = await find(request.params.name);
    return answer(reply, await lifecycle.start(id), id);
  });
  server.post<Named>('/v1/vms/:name/pause', async (request, reply) => {
    const { id } = await find(request.params.name);
    return answer(reply, await lifecycle.pause(id), id);
  });
  server.post<Named>('/v1/vms/:name/resume', async (request, reply) => {
    const { id } = await find(request.params.name);
    return answer(reply, await lifecycle.resume(id), id);
  });
  server.post<Named>('/v1/vms/:name/stop', async (request, reply) => {
    const { id } = await find(request.params.name);
    return answer(reply, await lifecycle.stop(id), id);
  });
  server.post<Named>('/v1/vms/:name/restart', async (request, reply) => {
    const { id } = await find(request.params.name);
    return answer(reply, await lifecycle.restart(id), id);
  });
  server.post<Named>('/v1/vms/:name/kill', async (request, reply) => {
    const { id } = await find(request.params.name);
    return answer(reply, await lifecycle.kill(id), id);
  });
  server.delete<Named & { Querystring: { force?: string } }>(
    '/v1/vms/:name',
    async (request, reply) => {
      const { id } = await find(request.params.name);
      const { force } = parseInput(deleteVm, { force: request.query.force === 'true' });
      return answer(reply, await lifecycle.delete(id, force), id);
    },
  );
};
