import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { fastify } from 'fastify';
import { BangerError } from '../errors.ts';
import type { Kernel } from '../kernel.ts';
import { countUse } from './count-use.ts';
import { installErrorHandlers } from './errors.ts';
import { recoveredVm } from './recovered-vm.ts';
import { actionRoutes } from './routes/actions.ts';
import { copyRoute } from './routes/copy.ts';
import { daemonRoutes, type DaemonFacts } from './routes/daemon.ts';
import { execRoute } from './routes/exec.ts';
import { healthRoute } from './routes/health.ts';
import { leaseRoute } from './routes/lease.ts';
import { operationRoutes } from './routes/operations.ts';
import { vmRoutes } from './routes/vms.ts';

export interface ApiServer {
  close(): Promise<void>;
}

/** The client says which build it is of; what it needs of another one is only that it goes. */
const buildHeader = 'banger-client-build';
const isAboutDaemon = (url: string): boolean => url.startsWith('/v1/daemon');

/**
 * Exec runs longer than any time-out; requests are local and small. A command comes in a header, where
 * Node's default of 16 KiB would end it: Linux takes about 2 MiB of arguments (execve(2)), base64 adds a third.
 */
const noTimeouts = {
  requestTimeout: 0,
  keepAliveTimeout: 5_000,
  maxHeaderSize: 4 * 1024 * 1024,
};

/**
 * Serves the API on a unix socket that its user alone may open. The state directory's lock is held, so a
 * socket file that is there already is a dead daemon's.
 */
export const serveApi = async (kernel: Kernel, facts: DaemonFacts): Promise<ApiServer> => {
  const { paths } = kernel;
  const foreignBuild = (request: IncomingMessage): string | undefined => {
    const theirs = request.headers[buildHeader];
    if (theirs === undefined || theirs === facts.buildId) return undefined;
    return JSON.stringify({ buildId: facts.buildId, pid: process.pid });
  };
  let raw: Server | undefined;
  const server = fastify({
    logger: false,
    forceCloseConnections: true,
    serverFactory: (handler) => {
      raw = createServer(noTimeouts, handler);
      return raw;
    },
  });
  installErrorHandlers(server);
  server.addHook('onRequest', async (request, reply) => {
    reply.header('banger-build', facts.buildId);
    const foreign = isAboutDaemon(request.url) ? undefined : foreignBuild(request.raw);
    if (foreign !== undefined)
      await reply.status(421).header('content-type', 'application/json').send(foreign);
  });
  if (raw === undefined) throw new Error('fastify has made no server');
  countUse(server, raw, kernel);
  vmRoutes(server, kernel);
  leaseRoute(server, (name) => recoveredVm(kernel, name), kernel.lifecycle.leases);
  healthRoute(server, kernel);
  copyRoute(server, kernel);
  operationRoutes(server, kernel);
  daemonRoutes(server, kernel, facts);
  actionRoutes(server, kernel);
  execRoute(raw, kernel, (request) => {
    const foreign = foreignBuild(request);
    if (foreign === undefined) return undefined;
    return Buffer.from(
      `HTTP/1.1 421 Misdirected Request\r\ncontent-type: application/json\r\n` +
        `content-length: ${String(foreign.length)}\r\nconnection: close\r\n\r\n${foreign}`,
    );
  });

  await mkdir(paths.runtimeDirectory, { recursive: true, mode: 0o700 });
  await rm(paths.socketPath, { force: true });
  // The file's mode comes from the umask at bind(2); chmod afterwards would leave a gap.
  const umask = process.umask(0o177);
  try {
    await server.listen({ path: paths.socketPath });
  } catch (error) {
    throw new BangerError('DAEMON_RUNNING', `cannot listen on ${paths.socketPath}`, {
      cause: error,
    });
  } finally {
    process.umask(umask);
  }
  await chmod(paths.socketPath, 0o600);
  return { close: () => server.close() };
};
