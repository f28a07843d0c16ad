import { imageBuild } from './support/actions.ts';
import { describeEveryPoint } from './support/suite.ts';

describeEveryPoint(
  'an image build',
  { rootfs: 'qcow2', images: 'none' },
  async (run, ...at) => {
    await run.killAt(...at);
    await run.failAt(...at);
  },
  [imageBuild],
);
