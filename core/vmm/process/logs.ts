import { join } from 'node:path';
import { BangerError } from '../../errors.ts';
import { nativeProgram } from '../../host/native-program.ts';
import type { MadeRoom } from './room.ts';

/**
 * Bytes of one log file; the one before it (`….1`) is kept as well. So a guest that floods its console takes 4 MiB of
 * the host, and the VMM's own words take as much.
 */
const logBytes = 2 * 1024 ** 2;

const consoleLog = 'console.log';
const vmmLog = 'vmm.log';
const metricsLog = 'metrics.log';

/** By name, as `vm logs` has them. */
export const vmmLogs = (folder: string): Readonly<Record<'console' | 'vmm', string>> => ({
  console: join(folder, consoleLog),
  vmm: join(folder, vmmLog),
});

/** The last run's metrics, of a VMM that writes them. */
export const vmmMetrics = (folder: string): string => join(folder, metricsLog);

/**
 * What a VMM is started through: it keeps the logs in the working directory small.
 * @param cgroup that it is to be in
 * @param metrics whether it writes metrics, to descriptor 4 or, in a room, the FIFO `metrics`
 */
export const boundedOutput = (
  cgroup: string | undefined,
  metrics: boolean,
  room: MadeRoom | undefined,
): readonly [string, ...string[]] => {
  const program = nativeProgram('vmm', 'bounded-output');
  if (program === undefined) {
    throw new BangerError('TOOL_MISSING', 'bounded-output, which keeps logs small, is not built', {
      remedy: 'Build it: npm run build',
    });
  }
  return [
    program,
    ...(cgroup === undefined ? [] : ['-c', cgroup]),
    ...(metrics ? ['-m', metricsLog] : []),
    ...(room === undefined ? [] : ['-r', room.path]),
    ...(room?.become === undefined
      ? []
      : ['-u', [room.become.uid, room.become.uid, ...room.become.groups].join(':')]),
    String(logBytes),
    consoleLog,
    vmmLog,
  ];
};
