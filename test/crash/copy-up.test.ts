import { actionsTo } from './support/actions.ts';
import { describeEveryPoint } from './support/suite.ts';

// Three files of about the same length: of one alone the end would be waited for.
describeEveryPoint(
  'a daemon that is killed, root disks by copy, up to a VM that runs',
  { rootfs: 'copy' },
  (run, ...at) => run.killAt(...at),
  actionsTo('up'),
);
