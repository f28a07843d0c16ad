import { readFileSync } from 'node:fs';
import type { DaemonStatus } from '../../core/api/contract/types.ts';
import { codeOf } from '../error.ts';
import { buildId } from '../build.ts';
import { assertOk, explain, isCut, isNoDaemon, openCall, readJson } from '../client/call.ts';

/** The daemon that answers, of whatever build; never starts one. */
export const runningDaemon = async (
  socketPath: string,
  attempts = 3,
): Promise<DaemonStatus | undefined> => {
  try {
    const response = await openCall(socketPath, buildId, { method: 'GET', path: '/v1/daemon' });
    await assertOk(response);
    return (await readJson(response)) as DaemonStatus;
  } catch (error) {
    if (isNoDaemon(error)) return undefined;
    // It ended while it was asked; another may be there by now.
    if (isCut(error) && attempts > 1) return runningDaemon(socketPath, attempts - 1);
    throw explain(error, socketPath);
  }
};

/** Gone, or a zombie: where PID 1 does not reap, those stay (proc(5), field 3 of `stat`). */
export const hasEnded = (pid: number): boolean => {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    const state = stat.charAt(stat.lastIndexOf(')') + 2);
    return state === 'Z' || state === 'X';
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(codeOf(error) ?? '')) return true;
    throw error;
  }
};
