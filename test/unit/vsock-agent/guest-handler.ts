// The guest's own program, built for this machine, serving one end of a socket pair.

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Agent } from '../../../capabilities/vsock-agent/agent.ts';
import { ConnectionPool } from '../../../capabilities/vsock-agent/pool.ts';

const source = new URL('../../../capabilities/vsock-agent/guest', import.meta.url).pathname;

export interface GuestHandlers {
  readonly folder: string;
  /** A fresh handler process for each stream. */
  connect(): Promise<Socket>;
  agent(streams?: number): Agent;
  readonly processes: ChildProcess[];
  dispose(): Promise<void>;
}

export async function buildGuestHandlers(): Promise<GuestHandlers> {
  const folder = await mkdtemp(join(tmpdir(), 'banger-agent-'));
  const make = ['-s', '-j2', '-C', source, `OUT=${folder}/build`, 'SANITIZE=1'];
  await promisify(execFile)('make', make);
  const processes: ChildProcess[] = [];
  const connect = (): Promise<Socket> => {
    const child = spawn(`${folder}/build/agent`, ['agent', '--serve-fd', '3'], {
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    });
    processes.push(child);
    const stream = child.stdio[3];
    if (!(stream instanceof Socket)) return Promise.reject(new Error('no socket pair'));
    return Promise.resolve(stream);
  };
  const pools: ConnectionPool[] = [];
  return {
    folder,
    connect,
    processes,
    agent(streams = 1) {
      const pool = new ConnectionPool(Array.from({ length: streams }, () => connect));
      pools.push(pool);
      return new Agent(pool);
    },
    async dispose() {
      for (const pool of pools) pool.close();
      await Promise.all(processes.map(exited));
      await rm(folder, { recursive: true });
    },
  };
}

export async function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => child.once('exit', resolve));
}
