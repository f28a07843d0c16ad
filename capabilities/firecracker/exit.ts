import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import {
  waitGone,
  type DetachedProcess,
  type ProcessIdentity,
  type VmmExit,
} from '../../core/plugin-api/index.ts';

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

/** Its last word, where we are not its parent. */
const loggedCode = async (log: string): Promise<number | undefined> => {
  try {
    const text = (await readFile(log, 'utf8')).slice(-tailCharacters);
    const code = [...text.matchAll(/ exit_code=(\d+)$/gm)].at(-1)?.[1];
    return code === undefined ? undefined : Number(code);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
};

/** @param child where this daemon is its parent */
export const exitOf = async (
  socketPath: string,
  log: string,
  process: ProcessIdentity,
  child: DetachedProcess | undefined,
): Promise<VmmExit> => {
  if (child === undefined) await closed(socketPath);
  const ended = await child?.exited;
  // Not before the process is gone, for the caller then takes its taps and disks away.
  while (!(await waitGone(process, goneMs)));
  if (ended !== undefined && ended.signal !== null)
    return { detail: `Firecracker was ended by ${ended.signal}`, clean: false };
  const code = ended?.code ?? (await loggedCode(log));
  if (code === 0) return { detail: 'the guest shut itself down', clean: true };
  if (code === undefined)
    return { detail: 'Firecracker ended (for an unknown reason)', clean: false };
  const meaning = meanings[code];
  return {
    detail: `Firecracker ended (exit code ${String(code)}${meaning === undefined ? '' : `: ${meaning}`})`,
    clean: false,
  };
};
