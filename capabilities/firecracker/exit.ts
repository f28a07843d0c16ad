import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import {
  waitGone,
  waitNameGone,
  writerMs,
  type DetachedProcess,
  type ProcessIdentity,
  type VmmExit,
} from '../../core/plugin-api/index.ts';
import { firecrackerMarks } from './marks.ts';

/** FcExitCode in src/vmm/src/lib.rs of Firecracker. */
const meanings: Readonly<Record<number, string>> = {
  1: 'a failure that its log tells of',
  148: 'a system call that its seccomp filter does not allow',
  149: 'SIGBUS',
  150: 'SIGSEGV',
  151: 'SIGXFSZ',
  152: 'a bad configuration',
  153: 'bad arguments',
  154: 'SIGXCPU',
  155: 'SIGPIPE',
  156: 'SIGHUP',
  157: 'SIGILL',
};

/** How often it is looked at whether it is gone, should the control socket close before, milliseconds. */
const goneMs = 30_000;
/** What is read of the log's end. */
const tailCharacters = 4096;

/** Settles when the other end has closed: the kernel tells of the process's end at once, whoever its parent is. */
const closed = (socketPath: string): Promise<void> =>
  new Promise((resolve) => {
    const socket = connect({ path: socketPath });
    socket.on('error', () => {
      resolve();
    });
    socket.once('close', () => {
      resolve();
    });
    socket.resume();
  });

type Ended = Awaited<DetachedProcess['exited']>;

/**
 * Its last word, of one that says no other to us. The log goes on from run to run, so it has to be said by this one.
 * @param name Firecracker's own, by which its lines begin: `2026-11-24T10:11:12.123456789 [NAME:main] …`
 */
const lastWord = async (log: string, name: string): Promise<Ended> => {
  // It is on its way through a pipe.
  await waitNameGone(firecrackerMarks, name, writerMs);
  try {
    const text = (await readFile(log, 'utf8')).slice(-tailCharacters);
    const lines = text.split('\n').filter((line) => line.includes(` [${name}:`));
    const code = / exit_code=(\d+)$/.exec(lines.at(-1) ?? '')?.[1];
    return { code: code === undefined ? null : Number(code), signal: null };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { code: null, signal: null };
    throw error;
  }
};

/** Where a Firecracker's exit code comes from: of the daemon's own child, or by name from the log of an adopted one. */
export type ExitSource = { readonly child: DetachedProcess } | { readonly name: string };

/**
 * @param panic why the guest's kernel has panicked, which to Firecracker is a reboot like another
 */
export const exitOf = async (
  socketPath: string,
  log: string,
  process: ProcessIdentity,
  source: ExitSource,
  panic: () => Promise<string | undefined>,
): Promise<VmmExit> => {
  await ('child' in source ? source.child.exited : closed(socketPath));
  // Not before the process is gone, for the caller then takes its taps and disks away.
  while (!(await waitGone(process, goneMs)));
  const { code, signal } =
    'child' in source ? await source.child.exited : await lastWord(log, source.name);
  if (signal !== null) return { detail: `Firecracker was ended by ${signal}`, clean: false };
  if (code === 0)
    return { detail: 'the guest has rebooted, and a reboot ends a VM', clean: true, panic };
  if (code === null) return { detail: 'Firecracker ended (for an unknown reason)', clean: false };
  const meaning = meanings[code];
  return {
    detail: `Firecracker ended (exit code ${String(code)}${meaning === undefined ? '' : `: ${meaning}`})`,
    clean: false,
  };
};
