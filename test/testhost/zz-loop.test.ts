import { expect, inject, it } from 'vitest';
import { bootTestHost } from '../../scripts/testhost.d/host.ts';
import { innerBanger } from './support/inner.ts';
import { stage } from './support/stage.ts';

const config = `[defaults]
vcpus = 1
memory = "256M"
disk_size = "1G"
[rootfs]
driver = "dm-snapshot"
`;
it('loops', async () => {
  let failures = 0;
  for (let round = 0; round < 6; round++) {
    const host = await bootTestHost({ disks: [{ path: inject('stageDisk'), mountPoint: stage.mountPoint }] });
    try {
      const banger = await innerBanger(host, '/srv/stage/b', config);
      await banger.ok(['doctor']);
      for (let run = 0; run < 4; run++) {
        const script = 'findmnt -n -o SOURCE /; echo written > /written; sync; cat /written';
        const ran = await banger.cli(['vm', 'run', '--rm', '--', 'sh', '-c', script]);
        const loops = await host.run(['losetup', '--list', '--noheadings']);
        console.log(round, run, ran.code, JSON.stringify(ran.stderr), loops.stdout);
        if (ran.code !== 0) {
          failures++;
          console.log((await host.run(['sh', '-c', 'tail -c 6000 /srv/stage/b/s/*.log /srv/stage/b/s/log/*; dmesg | tail -20; ps aux | tail -20'])).stdout);
        }
        await banger.ok(['daemon', 'stop']);
      }
    } finally {
      await host.dispose();
    }
  }
  expect(failures).toBe(0);
});
