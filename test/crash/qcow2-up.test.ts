import { actionsTo, changeActions } from './support/actions.ts';
import { describeEveryPoint } from './support/suite.ts';

describeEveryPoint(
  'a daemon that is killed, root disks by qcow2, up to a VM that runs',
  { rootfs: 'qcow2' },
  (run, ...at) => run.killAt(...at),
  [...actionsTo('up'), ...changeActions],
);
