import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { busyCpus, figuresOf, isUsed, type Sample } from '../../../capabilities/stats/figures.ts';
import type { GuestStats } from '../../../core/plugin-api/index.ts';

const guest = (change: Partial<GuestStats> = {}): GuestStats => ({
  uptimeMs: 10_000,
  memory: { totalBytes: 100, availableBytes: 60, swapTotalBytes: 10, swapFreeBytes: 7 },
  load: [0.1, 0.2, 0.3],
  cpu: { count: 2, busyMs: 1_000, totalMs: 20_000 },
  processes: 5,
  connections: 0,
  filesystems: [{ mount: '/', sizeBytes: 9, usedBytes: 5, availableBytes: 4 }],
  ...change,
});

const sample = (change: Partial<GuestStats> = {}, more: Partial<Sample> = {}): Sample => ({
  at: 0,
  clockMs: 0,
  guest: guest(change),
  host: undefined,
  ...more,
});

/** The next look, ten seconds on, in which so many of its two CPUs were busy. */
const later = (busy: number, change: Partial<GuestStats> = {}): Sample =>
  sample(
    {
      uptimeMs: 20_000,
      cpu: { count: 2, busyMs: 1_000 + busy * 10_000, totalMs: 40_000 },
      ...change,
    },
    { clockMs: 10_000 },
  );

describe('figures', () => {
  it('are what is taken, not what is left', () => {
    expect(figuresOf(undefined, sample())).toMatchObject({
      at: '1970-01-01T00:00:00.000Z',
      memoryTotalBytes: 100,
      memoryUsedBytes: 40,
      swapUsedBytes: 3,
      uptimeSeconds: 10,
      vcpus: 2,
      cpuPercent: null,
      host: null,
    });
  });

  it('tell CPU time between two looks', () => {
    expect(figuresOf(sample(), later(0.5)).cpuPercent).toBe(25);
    expect(figuresOf(sample(), later(2)).cpuPercent).toBe(100);
    const host = (cpuMs: number) => ({ memoryBytes: 7, cpuMs });
    const told = figuresOf({ ...sample(), host: host(0) }, { ...later(0), host: host(15_000) });
    expect(told.host).toEqual({ memoryBytes: 7, cpuPercent: 150 });
  });

  it('tell none over a restart of the guest, whose counters begin anew', () => {
    expect(busyCpus(later(1), sample())).toBeUndefined();
    expect(busyCpus(sample(), sample())).toBeUndefined();
  });

  it('are finite whatever two answers a guest gives', () => {
    const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    const any = fc.record({
      uptimeMs: number,
      memory: fc.record({
        totalBytes: number,
        availableBytes: number,
        swapTotalBytes: number,
        swapFreeBytes: number,
      }),
      cpu: fc.record({ count: fc.integer({ min: 1, max: 4096 }), busyMs: number, totalMs: number }),
    });
    fc.assert(
      fc.property(any, any, (one, other) => {
        const told = figuresOf(sample(one), sample(other));
        for (const value of [told.memoryUsedBytes, told.swapUsedBytes, told.cpuPercent ?? 0]) {
          expect(Number.isFinite(value)).toBe(true);
          expect(value).toBeGreaterThanOrEqual(0);
        }
        expect(told.cpuPercent ?? 0).toBeLessThanOrEqual(100);
      }),
    );
  });
});

describe('use', () => {
  it('is a connection, or a tenth of a CPU at work', () => {
    expect(isUsed(sample(), later(0))).toBe(false);
    expect(isUsed(sample(), later(0.09))).toBe(false);
    expect(isUsed(sample(), later(0.1))).toBe(true);
    expect(isUsed(sample(), later(0, { connections: 1 }))).toBe(true);
  });

  it('is not seen in one look alone', () => {
    expect(isUsed(undefined, sample())).toBe(false);
  });
});
