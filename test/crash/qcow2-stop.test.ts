import { actionsTo } from './support/actions.ts';
import { describeEveryPoint } from './support/suite.ts';

describeEveryPoint(
  'a daemon that is killed, root disks by qcow2, to a VM that is stopped',
  { rootfs: 'qcow2' },
  (run, ...at) => run.killAt(...at),
  actionsTo('stop'),
);
