import { readFile } from 'node:fs/promises';

/** Of a process: what it has in the host's memory, KiB; 0 of one that is gone. */
export const residentKib = async (pid: number): Promise<number> => {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
};

/** Of a VMM and its children: the double's guest is in a QEMU of its own. */
export const residentTreeKib = async (pid: number): Promise<number> => {
  const id = String(pid);
  const children = (await readFile(`/proc/${id}/task/${id}/children`, 'utf8')).trim();
  const below =
    children === '' ? [] : children.split(' ').map((child) => residentKib(Number(child)));
  const all = await Promise.all([residentKib(pid), ...below]);
  return all.reduce((total, each) => total + each, 0);
};
