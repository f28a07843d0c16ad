import type { FastifyInstance } from 'fastify';
import type { DoctorCheck } from '../../capability.ts';
import { messageOf } from '../../errors.ts';
import type { Kernel } from '../../kernel.ts';
import { fixLeaks, reportLeaks } from '../../lifecycle/fix-leaks.ts';
import { stopDaemon } from '../contract/schemas.ts';
import type { DaemonStatus, DoctorReport, LeakReport } from '../contract/types.ts';
import { parseInput } from '../errors.ts';

export interface DaemonFacts {
  readonly version: string;
  readonly buildId: string;
  /** Ends the daemon after the answer was sent. */
  shutdown(replace: boolean): Promise<void>;
}

const status = async (kernel: Kernel, facts: DaemonFacts): Promise<DaemonStatus> => {
  const { paths, vms, registry, recovery, operations } = kernel;
  const all = vms.list();
  return {
    pid: process.pid,
    version: facts.version,
    buildId: facts.buildId,
    socket: paths.socketPath,
    uptimeSeconds: Math.floor(process.uptime()),
    vms: all.length,
    vmsRunning: all.filter(({ run }) => run.state === 'running').length,
    instance: kernel.instance.token,
    configPath: kernel.config.path,
    configFound: kernel.config.found,
    stateDirectory: paths.stateDirectory,
    logPath: paths.daemonLogPath,
    rssBytes: process.memoryUsage.rss(),
    recovery: await recovery.status(),
    capabilities: [
      ...registry.all.map(({ capability, origin }) => ({
        id: capability.id,
        summary: capability.summary,
        origin,
        enabled: registry.enabled.some((each) => each.capability.id === capability.id),
        error: registry.failures.get(capability.id)?.message ?? null,
      })),
      ...kernel.pluginErrors.map((error) => ({
        id: '-',
        summary: 'a plugin that failed to load',
        origin: 'plugin',
        enabled: false,
        error: error.message,
      })),
    ],
    operations: operations.running(),
  };
};

const failureCheck = (id: string, error: { message: string; remedy: string }): DoctorCheck => ({
  id,
  title: `plugin ${id}`,
  status: 'error',
  detail: error.message,
  remedy: error.remedy,
});

const doctor = async (kernel: Kernel): Promise<DoctorReport> => {
  const { registry } = kernel;
  const checks = await Promise.all(
    registry.enabled.map(async ({ capability, handlers }) => {
      try {
        return ((await handlers.doctor?.()) ?? []).map((check) => ({
          capability: capability.id,
          ...check,
        }));
      } catch (error) {
        return [
          {
            capability: capability.id,
            id: 'doctor',
            title: `${capability.id} could not be examined`,
            status: 'error' as const,
            detail: messageOf(error),
          },
        ];
      }
    }),
  );
  const all = [
    ...checks.flat(),
    ...[...registry.failures].map(([id, error]) => ({
      capability: 'plugins',
      ...failureCheck(id, error),
    })),
  ];
  return { ok: all.every((check) => check.status !== 'error'), checks: all };
};

const leaksOf = async (
  { recovery, ledger, vms, lifecycle }: Kernel,
  look: typeof reportLeaks,
): Promise<LeakReport['leaks']> => {
  await recovery.ofHost();
  await Promise.all(vms.list().map(({ id }) => recovery.of(id)));
  return look({ ledger, vms, lifecycle });
};

const leakReport = (leaks: LeakReport['leaks']): LeakReport => ({
  ok: leaks.every(({ fixed }) => fixed),
  leaks,
});

export const daemonRoutes = (server: FastifyInstance, kernel: Kernel, facts: DaemonFacts): void => {
  server.get('/v1/daemon', () => status(kernel, facts));
  server.post('/v1/daemon/stop', (request, reply) => {
    const { replace } = parseInput(stopDaemon, request.body);
    // Only when the answer is out: closing the server would cut it.
    reply.raw.once('finish', () => {
      facts.shutdown(replace).catch((error: unknown) => {
        kernel.log.error({ err: error }, 'the daemon could not stop in order');
      });
    });
    return reply.send({});
  });
  server.get('/v1/doctor', () => doctor(kernel));
  // Both wait for recovery: what it is about to undo is no leak.
  server.get('/v1/leaks', async () => leakReport(await leaksOf(kernel, reportLeaks)));
  server.post('/v1/leaks/fix', async () => leakReport(await leaksOf(kernel, fixLeaks)));
};
