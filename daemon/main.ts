import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { builtIn } from '../capabilities/index.ts';
import { serveApi } from '../core/api/server.ts';
import { resolvePaths } from '../core/config/paths.ts';
import { ConfigFile } from '../core/config/settings.ts';
import { BangerError, toBangerError } from '../core/errors.ts';
import { lockExclusively } from '../core/host/helpers-lock.ts';
import { createKernel } from '../core/kernel.ts';
import { watchHealth } from '../core/lifecycle/watch-health.ts';
import { createLogger } from '../core/log/create-logger.ts';
import { exposePluginApi, type ImportModule } from '../core/plugins/load.ts';

/** How long running operations may go on after `daemon stop`, milliseconds. */
const closeDeadlineMs = 60_000;

const readBuild = async (): Promise<{ version: string; buildId: string }> => {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const [manifest, buildId] = await Promise.all([
    readFile(join(here, '..', 'package.json'), 'utf8'),
    readFile(join(here, 'build-id'), 'utf8'),
  ]);
  const { version } = JSON.parse(manifest) as { version: string };
  return { version, buildId: buildId.trim() };
};

/** Whether the daemon runs from V8's compiled code, without which it takes twice as long to start; see launch.ts. */
type CodeCache = 'used' | 'rejected' | 'none';

const run = async (importModule: ImportModule, codeCache: CodeCache): Promise<void> => {
  const paths = resolvePaths(process.env);
  const build = await readBuild();
  await mkdir(paths.stateDirectory, { recursive: true, mode: 0o700 });
  const lock = await lockExclusively(join(paths.stateDirectory, 'daemon.lock'));
  if (lock === undefined) {
    throw new BangerError(
      'DAEMON_RUNNING',
      `a daemon is running with the state directory ${paths.stateDirectory}`,
    );
  }
  const config = await ConfigFile.read(paths.configPath);
  const log = createLogger(paths.daemonLogPath, config.settings().logLevel);
  // Before Node ends the process: the log is where one looks for why.
  process.on('uncaughtExceptionMonitor', (error, origin) => {
    log.error({ err: error, origin }, 'the daemon ends by an error that nobody handled');
  });
  // A loader hook is a thread of its own, which takes as long as the database: only who has plugins needs it.
  if (config.settings().plugins.length > 0)
    exposePluginApi(new URL('./daemon-plugin-api.js', import.meta.url).href);
  const kernel = await createKernel({ paths, builtIn, config, log, importModule });

  const ending = new AbortController();
  let stopping: Promise<void> | undefined;
  const stop = async (replace: boolean): Promise<void> => {
    log.info({ replace }, 'daemon stops');
    ending.abort();
    await kernel.lifecycle.close(closeDeadlineMs);
    const isAnyUp = kernel.vms.list().some(({ run }) => run.state !== 'stopped');
    // What an earlier daemon left is not put in order yet: the next one goes on with it.
    if (!isAnyUp && kernel.recovery.isDone) await kernel.ledger.unwind({ scopes: ['host'] });
    await api.close();
    await rm(paths.socketPath, { force: true });
    await kernel.close();
    await lock.close();
    // What a capability still has open (a channel to a guest) is cut; VMMs run on by themselves.
    process.exit(0);
  };
  const shutdown = (replace: boolean): Promise<void> => {
    stopping ??= stop(replace);
    return stopping;
  };
  // First of all, though it ends later: a request that came before it would take an operation of its own for an
  // earlier daemon's, and a VM for one that is in order.
  kernel.recovery.begin();
  const api = await serveApi(kernel, { ...build, shutdown });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      void shutdown(false);
    });
  }
  log.info({ ...build, socket: paths.socketPath, codeCache }, 'daemon is up');
  const { healthIntervalMs } = config.settings();
  await watchHealth(kernel.lifecycle, kernel.recovery, healthIntervalMs, ending.signal);
};

/** @param importModule Node's, which compiled code that comes from a cache has not: see launch.ts */
export const main = (importModule: ImportModule, codeCache: CodeCache): void => {
  run(importModule, codeCache).catch((thrown: unknown) => {
    // Whoever started us reads this line; see cli/daemon.
    const error = toBangerError(thrown);
    if (error.code === 'INTERNAL') console.error(thrown);
    console.error(JSON.stringify({ error: error.toBody() }));
    process.exit(1);
  });
};
