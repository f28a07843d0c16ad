import { actionsTo } from './support/actions.ts';
import { describeEveryPoint } from './support/suite.ts';

describeEveryPoint(
  'a daemon that is killed, root disks by copy, down to none',
  { rootfs: 'copy' },
  (run, ...at) => run.killAt(...at),
  actionsTo('delete'),
);
