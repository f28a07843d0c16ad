import { describeEveryPoint } from './support/suite.ts';

describeEveryPoint(
  'a daemon that is killed, root disks by copy',
  { rootfs: 'copy' },
  (run, ...at) => run.killAt(...at),
);
