import type { CrashDaemon } from './daemon.ts';

/** What is done while the daemon dies. */
export interface CrashAction {
  readonly name: string;
  /** Begins with a daemon that has nothing on the host yet, and so makes what it keeps for all VMs. */
  readonly fresh: boolean;
  /** Brings the VM to where the action begins. */
  prepare(daemon: CrashDaemon): Promise<void>;
  /** Never rejects for what the daemon answers: the suite looks at the host. */
  act(daemon: CrashDaemon): Promise<unknown>;
  /** The daemon is gone afterwards. */
  readonly ends?: boolean;
}

const create = { name: 'v' };

const started = (daemon: CrashDaemon): Promise<void> =>
  daemon.mustOperate('POST', '/v1/vms', create);

const stopped = async (daemon: CrashDaemon): Promise<void> => {
  await started(daemon);
  await daemon.mustOperate('POST', '/v1/vms/v/stop');
};

export const crashActions: readonly CrashAction[] = [
  {
    name: 'create',
    fresh: true,
    prepare: () => Promise.resolve(),
    act: (daemon) => daemon.operate('POST', '/v1/vms', create),
  },
  {
    name: 'start',
    fresh: false,
    prepare: stopped,
    act: (daemon) => daemon.operate('POST', '/v1/vms/v/start'),
  },
  {
    name: 'stop',
    fresh: false,
    prepare: started,
    act: (daemon) => daemon.operate('POST', '/v1/vms/v/stop'),
  },
  {
    name: 'kill',
    fresh: false,
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
    ends: true,
  },
];
