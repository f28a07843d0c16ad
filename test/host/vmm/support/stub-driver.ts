import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  argumentOf,
  defineCapability,
  ensureVmmFolder,
  findVmm,
  launchVmm,
  vmmIdentity,
  vmmLogs,
  vmmTeardown,
  waitGone,
  z,
  type ProcessIdentity,
  type VmmHandle,
  type VmmMarks,
} from '../../../../core/plugin-api/index.ts';

const marks: VmmMarks = {
  id: 'stub-vmm',
  title: 'the stub',
  nameFlag: '--stub',
  suffixOf: (vmId) => vmId.replaceAll('-', ''),
  vmIdOf: (argv) => {
    const hex = argumentOf(argv, '--stub')?.split('-').at(-1) ?? '';
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  },
};

/** What a VM is to it: a process that says that it is up, and waits. */
const program = 'require("node:fs").writeSync(3, "up"); setInterval(() => undefined, 60_000)';

const untilUp = async (console: string, signal: AbortSignal): Promise<void> => {
  while ((await readFile(console, 'utf8').catch(() => '')) !== 'up') {
    signal.throwIfAborted();
    await delay(2);
  }
};

const isStopped = async (pid: number): Promise<boolean> =>
  /^State:\s+T/m.test(await readFile(`/proc/${String(pid)}/status`, 'utf8'));

/** A signal is on its way when kill(2) returns. */
const signalled = async (
  pid: number,
  signal: 'SIGSTOP' | 'SIGCONT',
  stopped: boolean,
): Promise<void> => {
  process.kill(pid, signal);
  while ((await isStopped(pid)) !== stopped) await delay(2);
};

const handleOf = (folder: string, process_: ProcessIdentity): VmmHandle => ({
  process: { pid: process_.pid, startTicks: process_.startTicks },
  agent: { kind: 'ports', paths: [] },
  logs: vmmLogs(folder),
  exited: waitGone(process_, Number.MAX_SAFE_INTEGER).then(() => ({
    detail: 'it is gone',
    clean: false,
  })),
  pause: () => signalled(process_.pid, 'SIGSTOP', true),
  resume: () => signalled(process_.pid, 'SIGCONT', false),
  isPaused: () => isStopped(process_.pid),
  shutdown: async (signal) => {
    if (await waitGone(process_, 0)) return;
    process.kill(process_.pid, 'SIGTERM');
    await waitGone(process_, 2_000, signal);
  },
});

/** A third VMM, by what a plugin has: core/plugin-api alone. */
export const stubVmmCapability = defineCapability({
  id: 'stub-vmm',
  summary: 'processes that do nothing, for tests',
  config: z.strictObject({ binary: z.string().default(process.execPath) }),
  identity: vmmIdentity,
  teardown: vmmTeardown(marks),
  setup: ({ config: { binary }, directory, exec, instance }) => ({
    vmm: {
      id: 'stub-vmm',
      diskFormats: ['raw'],
      agentChannel: 'ports',
      probe: async () =>
        (await exec.which(binary)) === undefined
          ? { usable: false, preference: 0, detail: 'not installed', remedy: 'Install it.' }
          : { usable: true, preference: 0, detail: 'it is there' },
      boot: async ({ vm }, claims) => {
        const folder = await ensureVmmFolder(directory, vm.id, claims);
        return launchVmm(marks, { exec, instance }, claims, {
          vmId: vm.id,
          binary,
          folder,
          sockets: [],
          argsOf: (name) => ['-e', program, '--', marks.nameFlag, name],
          connect: async (child, signal) => {
            await untilUp(vmmLogs(folder).console, signal);
            return handleOf(folder, child);
          },
        });
      },
      attach: async ({ vm }, claims) => {
        const found = await findVmm(marks, instance, vm.id, claims);
        return found === undefined ? undefined : handleOf(found.folder, found.process);
      },
    },
  }),
});
