import type { FastifyError, FastifyInstance } from 'fastify';
import type { z } from 'zod';
import { BangerError, toBangerError, type ErrorCode } from '../errors.ts';

const statuses: Partial<Record<ErrorCode, number>> = {
  ACTION_UNKNOWN: 404,
  IMAGE_UNKNOWN: 404,
  INPUT_INVALID: 400,
  INTERNAL: 500,
  KERNEL_UNKNOWN: 404,
  OPERATION_UNKNOWN: 404,
  VM_BUSY: 409,
  VM_EXISTS: 409,
  VM_HOLDS_WORK: 409,
  VM_NAME_INVALID: 400,
  VM_NOT_RUNNING: 409,
  VM_RUNNING: 409,
  VM_UNKNOWN: 404,
  WORKSPACE_CONFLICT: 409,
  WORKSPACE_EXISTS: 409,
  WORKSPACE_UNKNOWN: 404,
};

export const statusOf = (code: ErrorCode): number => statuses[code] ?? 422;

/** Input as the contract has it. @throws BangerError INPUT_INVALID, VM_NAME_INVALID */
export const parseInput = <T>(schema: z.ZodType<T>, value: unknown): T => {
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.map(String).join('.') ?? '';
  if (at === 'name') throw new BangerError('VM_NAME_INVALID', `that is not a VM name`);
  throw new BangerError(
    'INPUT_INVALID',
    `${at === '' ? 'the request' : at}: ${issue?.message ?? 'is not valid'}`,
  );
};

/** Every failure leaves as `{ error: ErrorBody }`. */
export const installErrorHandlers = (server: FastifyInstance): void => {
  server.setErrorHandler((thrown: FastifyError, request, reply) => {
    const isClients = thrown.statusCode !== undefined && thrown.statusCode < 500;
    const error =
      isClients && !(thrown instanceof BangerError)
        ? new BangerError('INPUT_INVALID', thrown.message)
        : toBangerError(thrown);
    if (error.code === 'INTERNAL') request.log.error({ err: thrown }, 'request failed');
    return reply.status(statusOf(error.code)).send({ error: error.toBody() });
  });
  server.setNotFoundHandler((request, reply) => {
    const error = new BangerError(
      'INPUT_INVALID',
      `no such call: ${request.method} ${request.url}`,
    );
    return reply.status(404).send({ error: error.toBody() });
  });
};
