import { describe, expect, it } from 'vitest';
import { bootTestHost } from '../../scripts/testhost.d/host.ts';

describe('a test host', () => {
  it('has what this machine may not have', async () => {
    await using host = await bootTestHost();
    const targets = (await host.ok(['dmsetup', 'targets'])).split('\n');
    expect(targets.map((line) => line.split(/\s+/)[0])).toContain('snapshot');
    await host.ok(['sh', '-c', 'test -c /dev/kvm && test -c /dev/vhost-vsock']);
  });

  it('is the same again, whatever was done to the one before', async () => {
    {
      await using host = await bootTestHost();
      await host.ok(['sh', '-c', 'rm /usr/bin/git; echo mark > /etc/mark; sync']);
    }
    await using host = await bootTestHost();
    await host.ok(['sh', '-c', 'test ! -e /etc/mark && git --version']);
  });

  it('keeps what was flushed when its power is cut, and nothing that runs', async () => {
    await using host = await bootTestHost({ durable: true });
    await host.ok(['sh', '-c', 'echo flushed > /root/mark; sync; ip link add gone type dummy']);
    await host.powerCut();
    await host.boot();
    expect(await host.ok(['cat', '/root/mark'])).toBe('flushed');
    expect((await host.run(['ip', 'link', 'show', 'gone'])).code).not.toBe(0);
  });
});
