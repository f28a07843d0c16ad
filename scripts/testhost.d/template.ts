import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Qmp } from '../../capabilities/qemu/qmp.ts';
import type { Executor } from '../../core/host/executor.ts';
import { clientKeyFile, hostKeyFile, rootFile } from './disk.ts';
import {
  machineVersion as machine,
  sshPort,
  startMachine,
  userNetwork,
  type Machine,
} from './machine.ts';
import { modules } from './recipe.ts';
import { Session } from './session.ts';

export const overlayFile = 'root.qcow2';
export const memoryFile = 'memory';
export const stateFile = 'state';

/** Raise the number when a template is warmed up otherwise. */
export const machineVersion = [2, machine];

const bootDeadlineMs = 300_000;

interface Context {
  readonly exec: Executor;
  readonly signal: AbortSignal;
  say(line: string): void;
}

/** Boots the disk and saves the machine that is up, idle and warm. */
export const buildTemplate = async (
  disk: string,
  folder: string,
  { exec, signal, say }: Context,
): Promise<void> => {
  const root = join(folder, overlayFile);
  // By a relative path, so that both may move together.
  const base = join('..', basename(disk), rootFile);
  await exec.run('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', base, root], {
    cwd: dirname(root),
  });
  const control = await mkdtemp(join(tmpdir(), 'bth-'));
  try {
    await symlink(join(folder, stateFile), join(control, stateFile));
    say('booting');
    const running = await startMachine({
      disk,
      folder: control,
      root,
      memory: { kind: 'save', path: join(folder, memoryFile) },
      durable: false,
      signal,
    });
    try {
      const session = await Session.open({
        port: await sshPort(running.qmp),
        privateKey: await readFile(join(disk, clientKeyFile), 'utf8'),
        hostKey: await readFile(join(disk, hostKeyFile), 'utf8'),
        deadlineMs: bootDeadlineMs,
        signal,
      });
      say('warming up');
      await warmUp(session);
      session.close();
      await untilAlone(running, signal);
      say('saving');
      await save(running);
    } catch (error) {
      const console = await readFile(running.console, 'utf8').catch(() => '');
      throw new Error(`the test host does not boot:\n${console.slice(-2000)}`, { cause: error });
    } finally {
      await running.kill();
    }
  } finally {
    await rm(control, { recursive: true, force: true });
  }
};

const check = async (session: Session, script: string): Promise<string> => {
  const { code, stdout, stderr } = await session.run(['sh', '-c', script]);
  if (code !== 0) throw new Error(`in the test host: ${script}\n${stdout}${stderr}`);
  return stdout;
};

/** Waits for the end of the boot, and reads what will be used, so that clones find it in memory. */
const warmUp = async (session: Session): Promise<void> => {
  await check(session, 'systemctl is-system-running --wait || systemctl --failed');
  await check(
    session,
    `for m in ${modules.join(' ')}; do grep -q "^$m " /proc/modules || exit 1; done`,
  );
  await check(
    session,
    'test -c /dev/kvm && test -c /dev/vhost-vsock && test -c /dev/mapper/control',
  );
  await check(
    session,
    'node --version; git --version; dmsetup version; iptables-save; ip6tables-save; ssh -V; qemu-img --version; ' +
      'qemu-system-x86_64 --version; mkfs.ext4 -V; debugfs -V; losetup -a; sudo true; perl -e 1; sync',
  );
};

/** Our connection is none of the saved machine's. @throws Error where it stays */
const untilAlone = async ({ qmp }: Machine, signal: AbortSignal): Promise<void> => {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const network = await userNetwork(qmp);
    if (!/^\s*TCP\[(?!HOST_FORWARD|TIME_WAIT)/m.test(network)) return;
    if (performance.now() > deadline)
      throw new Error(`a connection to the test host stays open:\n${network}`);
    await delay(50, undefined, { signal });
  }
};

const save = async ({ qmp, exited }: Machine): Promise<void> => {
  await qmp.execute('stop');
  await migrate(qmp, 'migrate');
  await qmp.execute('quit');
  await exited; // the disk's last blocks are written on the way
};

/**
 * Memory stays where it is, in its file; the devices' state goes to, or comes from, `state` in QEMU's
 * working directory: the paths here are read by its shell, and so are constants.
 */
export const migrate = async (qmp: Qmp, command: 'migrate' | 'migrate-incoming'): Promise<void> => {
  await qmp.execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'x-ignore-shared', state: true }],
  });
  const uri = `exec:cat ${command === 'migrate' ? '>' : '<'}${stateFile}`;
  await qmp.execute(command, { uri });
  const deadline = performance.now() + 60_000;
  for (;;) {
    const info = (await qmp.execute('query-migrate')) as { status?: string };
    if (info.status === 'completed') return;
    if (info.status === 'failed' || performance.now() > deadline)
      throw new Error(`QEMU's ${command}: ${JSON.stringify(info)}`);
    await delay(5);
  }
};
