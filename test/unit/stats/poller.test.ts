import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { pauseAfter, Poller, type PollerOptions } from '../../../capabilities/stats/poller.ts';
import type { GuestStats } from '../../../core/plugin-api/index.ts';
import { silentLog } from '../../support/silent-log.ts';

const vm = { id: 'vm-1', name: 'web' };

const answer = (n: number): GuestStats => ({
  uptimeMs: 1_000 * n,
  memory: { totalBytes: 1, availableBytes: 1, swapTotalBytes: 0, swapFreeBytes: 0 },
  load: [0, 0, 0],
  cpu: { count: 1, busyMs: n, totalMs: 1_000 * n },
  processes: n,
  connections: 0,
  filesystems: [],
});

/** A guest that is asked over and over; counts how many ask at once. */
class FakeGuest {
  asked = 0;
  atOnce = 0;
  mostAtOnce = 0;
  isSilent = false;
  tookMs = 0;

  async look(signal: AbortSignal): Promise<GuestStats> {
    this.asked += 1;
    this.atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.atOnce);
    try {
      await delay(this.tookMs, undefined, { signal });
      if (this.isSilent) throw new Error('no answer');
      return answer(this.asked);
    } finally {
      this.atOnce -= 1;
    }
  }
}

describe('the poller', () => {
  const pollers: Poller[] = [];
  afterEach(() => {
    for (const poller of pollers.splice(0)) poller.remove(vm);
  });

  const start = (guest: FakeGuest, more: Partial<PollerOptions> = {}): Poller => {
    const poller = new Poller({
      intervalMs: 5,
      log: silentLog,
      isRunning: () => true,
      lookInside: (_, signal) => guest.look(signal),
      lookOutside: () => Promise.resolve(undefined),
      onLook: () => undefined,
      ...more,
    });
    pollers.push(poller);
    poller.add(vm);
    return poller;
  };
  const until = async (condition: () => boolean): Promise<void> => {
    await expect.poll(condition, { timeout: 5_000, interval: 2 }).toBe(true);
  };

  it('remembers what it saw last, and tells of each look', async () => {
    const guest = new FakeGuest();
    const looks: unknown[] = [];
    const poller = start(guest, { onLook: (...look) => looks.push(look) });
    expect(poller.latest(vm)).toBeUndefined();
    await until(() => (poller.latest(vm)?.processes ?? 0) >= 3);
    expect(looks[0]).toEqual([vm, false]);
    expect(poller.vms()).toEqual([vm]);
  });

  it('never asks a guest twice at once, whoever else wants to know', async () => {
    const guest = new FakeGuest();
    guest.tookMs = 20;
    const poller = start(guest, { intervalMs: 1 });
    const all = await Promise.all(
      Array.from({ length: 30 }, async (_, n) => {
        await delay(n * 3);
        return poller.now(vm);
      }),
    );
    expect(all.every((stats) => stats !== undefined)).toBe(true);
    expect(guest.mostAtOnce).toBe(1);
  });

  it('ends with the VM, in the middle of a look', async () => {
    const guest = new FakeGuest();
    guest.tookMs = 60_000;
    const looks: unknown[] = [];
    const poller = start(guest, { onLook: (...look) => looks.push(look) });
    await until(() => guest.atOnce === 1);
    poller.remove(vm);
    await until(() => guest.atOnce === 0);
    expect(poller.vms()).toEqual([]);
    expect(poller.now(vm)).toBeUndefined();
    expect(guest.asked).toBe(1);
    expect(looks).toEqual([]);
  });

  it('forgets the figures of a guest that falls silent, and has them again when it is back', async () => {
    const guest = new FakeGuest();
    const looks: unknown[] = [];
    const poller = start(guest, { onLook: (...look) => looks.push(look) });
    await until(() => poller.latest(vm) !== undefined);
    guest.isSilent = true;
    await until(() => poller.latest(vm) === undefined);
    const told = looks.length;
    await expect(poller.now(vm)).rejects.toThrow('no answer');
    expect(looks.length).toBe(told);
    guest.isSilent = false;
    await until(() => poller.latest(vm) !== undefined);
  });

  it('asks nobody while a VM is paused, and goes on as with a new one', async () => {
    const guest = new FakeGuest();
    let isRunning = true;
    const looks: unknown[] = [];
    const poller = start(guest, {
      isRunning: () => isRunning,
      onLook: (...look) => looks.push(look),
    });
    await until(() => (poller.latest(vm)?.cpuPercent ?? null) !== null);
    isRunning = false;
    await until(() => poller.latest(vm) === undefined);
    const { asked } = guest;
    await delay(50);
    expect(guest.asked).toBe(asked);
    isRunning = true;
    await until(() => poller.latest(vm) !== undefined);
    expect(poller.vms()).toEqual([vm]);
  });

  it('asks a silent one less and less often, up to five minutes', () => {
    const pauses = [0, 1, 2, 3, 4, 5, 6, 1_000].map((failures) => pauseAfter(failures, 10_000));
    expect(pauses).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
    expect(pauseAfter(9, 3_600_000)).toBe(3_600_000);
  });
});
