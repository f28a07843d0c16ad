import type { FastifyInstance } from 'fastify';
import { deadlineSignal } from '../../deadline.ts';
import { BangerError, messageOf } from '../../errors.ts';
import type { Kernel } from '../../kernel.ts';
import { guestOf } from '../../lifecycle/guest-of.ts';
import type { Guest, GuestHealth, GuestStats } from '../../plugin-api/services/guest.ts';
import type { Vm } from '../../vm/repository.ts';
import type { VmHealth } from '../contract/types.ts';
import { recoveredVm } from '../recovered-vm.ts';

/** How long the agent may take over two short questions, milliseconds: an emulated guest that is busy is slow. */
const answerMs = 5_000;

/** Of a file system: what is fuller will soon make writes fail. */
const fullPercent = 95;

interface Answer {
  readonly health: GuestHealth;
  readonly roundTripMs: number;
  readonly filesystems: GuestStats['filesystems'];
  readonly problems: readonly string[];
}

/** What the agent says, or why it says nothing. */
const ask = async ({ registry }: Kernel, vm: Vm): Promise<Answer | string> => {
  try {
    const guest = guestOf(registry, vm);
    const deadline = deadlineSignal(answerMs);
    const asked = performance.now();
    const health = await guest.health(deadline);
    const roundTripMs = Math.round((performance.now() - asked) * 10) / 10;
    return { health, roundTripMs, ...(await lookAtDisks(guest, deadline)) };
  } catch (error) {
    return `the agent does not answer: ${messageOf(error)}`;
  }
};

const lookAtDisks = async (
  guest: Guest,
  signal: AbortSignal,
): Promise<Pick<Answer, 'filesystems' | 'problems'>> => {
  try {
    const { filesystems } = await guest.stats(signal);
    return { filesystems, problems: fullDisks(filesystems) };
  } catch (error) {
    // An agent from before an upgrade of banger, which knows no figures, is none the worse for it.
    const isOlder = error instanceof BangerError && error.code === 'GUEST_FAILED';
    return { filesystems: [], problems: isOlder ? [] : [`no figures: ${messageOf(error)}`] };
  }
};

const fullDisks = (filesystems: GuestStats['filesystems']): string[] =>
  filesystems.flatMap(({ mount, sizeBytes, availableBytes }) => {
    const percent = sizeBytes === 0 ? 0 : Math.floor((1 - availableBytes / sizeBytes) * 100);
    return percent < fullPercent ? [] : [`${mount} is ${String(percent)} % full`];
  });

const healthOf = async (kernel: Kernel, vm: Vm): Promise<VmHealth> => {
  const { state, conditions } = vm.run;
  const answer = state === 'running' ? await ask(kernel, vm) : `it is ${state}`;
  const told = typeof answer === 'string' ? undefined : answer;
  const problems = [
    ...(typeof answer === 'string' ? [answer] : answer.problems),
    ...conditions.map(({ kind, detail }) => `${kind}: ${detail}`),
  ];
  return {
    name: vm.name,
    state,
    healthy: problems.length === 0,
    agent: told !== undefined ? 'ok' : state === 'running' ? 'unreachable' : 'none',
    roundTripMs: told?.roundTripMs ?? null,
    agentVersion: told?.health.agent ?? null,
    bootId: told?.health.bootId ?? null,
    init: told?.health.init ?? null,
    uptimeSeconds: told === undefined ? null : Math.floor(told.health.uptimeMs / 1000),
    disks: told === undefined ? [] : [...told.filesystems],
    problems,
    conditions: [...conditions],
  };
};

export const healthRoute = (server: FastifyInstance, kernel: Kernel): void => {
  server.get<{ Params: { name: string } }>('/v1/vms/:name/health', async (request) =>
    healthOf(kernel, await recoveredVm(kernel, request.params.name)),
  );
};
