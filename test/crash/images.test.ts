import { imageBuild } from './support/actions.ts';
import { describeEveryPoint } from './support/suite.ts';

describeEveryPoint(
  'an image build',
  { rootfs: 'qcow2', tinyImages: true },
  async (run, ...at) => {
    await run.killAt(...at);
    await run.failAt(...at);
  },
  [imageBuild],
);
