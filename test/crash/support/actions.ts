import type { CrashDaemon } from './daemon.ts';

/** What is done while the daemon dies. */
export interface CrashAction {
  readonly name: string;
  /** Begins with a daemon that has nothing on the host yet, and so makes what it keeps for all VMs. */
  readonly fresh: boolean;
  /** Points that this other action has as well are that one's to be killed at. */
  readonly beyond?: string;
  /** The VM is there afterwards, however it ends. */
  readonly leavesVm?: boolean;
  /**
   * Brings the VM, or none, to where the action begins.
   * @param isWarm there was a VM since the last daemon stopped in order: what is kept for all is there
   */
  prepare(daemon: CrashDaemon, isWarm: boolean): Promise<void>;
  /** Never rejects for what the daemon answers: the suite looks at the host. */
  act(daemon: CrashDaemon): Promise<unknown>;
  /** From whatever was left to where nothing is. */
  goOn?(daemon: CrashDaemon): Promise<void>;
}

const create = { name: 'v' };

const started = async (daemon: CrashDaemon): Promise<void> => {
  const vm = await daemon.vm('v');
  if (vm === undefined) await daemon.mustOperate('POST', '/v1/vms', create);
  else if (vm.state !== 'running') await daemon.mustOperate('POST', '/v1/vms/v/start');
};

const stopped = async (daemon: CrashDaemon): Promise<void> => {
  const vm = await daemon.vm('v');
  if (vm === undefined) await daemon.mustOperate('POST', '/v1/vms', create);
  if (vm?.state !== 'stopped') await daemon.mustOperate('POST', '/v1/vms/v/stop');
};

export const crashActions: readonly CrashAction[] = [
  {
    name: 'create',
    fresh: false,
    prepare: async (daemon, isWarm) => {
      if (isWarm) return;
      await started(daemon);
      await daemon.mustOperate('DELETE', '/v1/vms/v?force=true');
    },
    act: (daemon) => daemon.operate('POST', '/v1/vms', create),
  },
  {
    name: 'first create',
    fresh: true,
    beyond: 'create',
    prepare: () => Promise.resolve(),
    act: (daemon) => daemon.operate('POST', '/v1/vms', create),
  },
  {
    name: 'start',
    fresh: false,
    leavesVm: true,
    prepare: stopped,
    act: (daemon) => daemon.operate('POST', '/v1/vms/v/start'),
  },
  {
    name: 'stop',
    fresh: false,
    leavesVm: true,
    prepare: started,
    act: (daemon) => daemon.operate('POST', '/v1/vms/v/stop'),
  },
  {
    name: 'kill',
    fresh: false,
    leavesVm: true,
    prepare: started,
    act: (daemon) => daemon.operate('POST', '/v1/vms/v/kill'),
  },
  {
    name: 'delete',
    fresh: false,
    prepare: stopped,
    act: (daemon) => daemon.operate('DELETE', '/v1/vms/v'),
  },
  {
    name: 'delete --force',
    fresh: false,
    prepare: started,
    act: (daemon) => daemon.operate('DELETE', '/v1/vms/v?force=true'),
  },
  {
    name: 'daemon stop',
    fresh: true,
    prepare: async (daemon) => {
      await started(daemon);
      await daemon.mustOperate('DELETE', '/v1/vms/v?force=true');
    },
    act: (daemon) => daemon.stop(),
  },
];

const ways: Readonly<Record<'up' | 'stop' | 'delete', readonly string[]>> = {
  up: ['create', 'first create', 'start'],
  stop: ['stop', 'kill', 'daemon stop'],
  delete: ['delete', 'delete --force'],
};

/** About a third of the points each. `first create` leaves out what `create` has, so they stay together. */
export const actionsTo = (way: keyof typeof ways): readonly CrashAction[] =>
  crashActions.filter(({ name }) => ways[way].includes(name));

/** Of a running VM; its root disk has no part in them. */
export const changeActions: readonly CrashAction[] = [
  {
    name: 'nat off',
    fresh: false,
    prepare: started,
    act: (daemon) => daemon.operate('PATCH', '/v1/vms/v', { nat: false }),
  },
  {
    name: 'nat on',
    fresh: false,
    prepare: (daemon) => daemon.mustOperate('POST', '/v1/vms', { ...create, nat: false }),
    act: (daemon) => daemon.operate('PATCH', '/v1/vms/v', { nat: true }),
  },
];

const image = { name: 'debian-bookworm' };
const buildImage = '/v1/x/images/build';

export const imageBuild: CrashAction = {
  name: 'image build',
  fresh: false,
  prepare: () => Promise.resolve(),
  act: (daemon) => daemon.operate('POST', buildImage, image),
  // An interrupted build goes on with the step that is missing.
  goOn: async (daemon) => {
    await daemon.mustOperate('POST', buildImage, image);
    await daemon.mustOperate('POST', '/v1/x/images/delete', image);
  },
};
