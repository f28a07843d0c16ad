import { changeActions, crashActions } from './support/actions.ts';
import { describeEveryPoint } from './support/suite.ts';

describeEveryPoint(
  'a host command that fails',
  { rootfs: 'qcow2' },
  (run, ...at) => run.failAt(...at),
  [...crashActions, ...changeActions],
);
