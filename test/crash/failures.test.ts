import { actionsTo, changeActions, crashActions } from './support/actions.ts';
import { diskPoints } from './support/points.ts';
import { describeEveryPoint } from './support/suite.ts';

describeEveryPoint(
  'a host command that fails',
  { rootfs: 'qcow2' },
  (run, ...at) => run.failAt(...at),
  [...crashActions, ...changeActions],
);

describeEveryPoint(
  'a host command of the root disk that fails, root disks by copy',
  { rootfs: 'copy' },
  async (run, action, point) => {
    if (diskPoints.test(point.name)) await run.failAt(action, point);
  },
  actionsTo('up'),
);
