import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isProcessAlive, processIdentity } from '../../core/host/process-identity.ts';

/** Whose folder it is: pid and start time, so that a later process of the same pid is not taken for it. */
const pattern = /^bth-(\d+)-(\d+)-/;

/** Removes the folders of scripts that were killed. Their QEMU has ended with them. */
const sweep = async (): Promise<void> => {
  for (const name of await readdir(tmpdir())) {
    const [, pid, startTicks] = pattern.exec(name) ?? [];
    if (pid === undefined) continue;
    const owner = { pid: Number(pid), startTicks: Number(startTicks) };
    if (!(await isProcessAlive(owner)))
      await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
};

/** An empty folder of this process, with a path short enough for sockets in it: unix(7) has 107 bytes. */
export const createRunFolder = async (): Promise<string> => {
  await sweep();
  const own = await processIdentity(process.pid);
  if (own === undefined) throw new Error('this process is not in /proc');
  const prefix = `bth-${String(own.pid)}-${String(own.startTicks)}-`;
  return mkdtemp(join(tmpdir(), prefix));
};
