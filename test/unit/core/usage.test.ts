import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigFile } from '../../../core/config/settings.ts';
import { isUnused, Usage } from '../../../core/lifecycle/usage.ts';

const minute = 60_000;

describe('whether a VM is unused', () => {
  const at = (minutes: number, open = 0, afterMs: number | null = 30 * minute): boolean =>
    isUnused({ now: minutes * minute, lastUseAt: 0, open, afterMs });

  it('is so once nobody has used it for as long as its owner says, and not before', () => {
    expect(at(29.99)).toBe(false);
    expect(at(30)).toBe(true);
    expect(at(1_000)).toBe(true);
  });

  it('is never so while something is open, or where it is switched off', () => {
    expect(at(1_000, 1)).toBe(false);
    expect(at(1_000, 0, null)).toBe(false);
  });
});

describe('what is known of use', () => {
  const after = 10;
  const set = () => {
    const clock = { now: 100 };
    const usage = new Usage(() => clock.now);
    return { clock, usage, look: (isUsed = false) => usage.observe('vm', isUsed, after) };
  };

  it('begins with the first look', () => {
    const { clock, look } = set();
    expect(look()).toBe(false);
    clock.now += 9;
    expect(look()).toBe(false);
    clock.now += 1;
    expect(look()).toBe(true);
  });

  it('goes on with each use that is seen', () => {
    const { clock, look } = set();
    for (let n = 0; n < 5; n++) {
      expect(look(true)).toBe(false);
      clock.now += 9;
      expect(look()).toBe(false);
    }
  });

  it('lasts as long as a request does, and begins anew at its end', () => {
    const { clock, usage, look } = set();
    const [end, other] = [usage.begin('vm'), usage.begin('vm')];
    clock.now += 1_000;
    expect(look()).toBe(false);
    end();
    end();
    clock.now += 1_000;
    expect(look()).toBe(false);
    other();
    clock.now += 9;
    expect(look()).toBe(false);
    clock.now += 1;
    expect(look()).toBe(true);
  });

  it('is of each VM alone', () => {
    const { clock, usage, look } = set();
    look();
    usage.begin('other');
    clock.now += 10;
    expect(look()).toBe(true);
    expect(usage.observe('other', false, after)).toBe(false);
  });

  it('is forgotten with a run: the next one is as if it had just been used', () => {
    const { clock, usage, look } = set();
    look();
    clock.now += 10;
    usage.forget('vm');
    expect(look()).toBe(false);
  });

  it('never says unused within the time after a use, or while one is open: any story', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 25 }) }),
      fc.record({ kind: fc.constant('look' as const), isUsed: fc.boolean() }),
      fc.record({ kind: fc.constant('open' as const) }),
      fc.record({ kind: fc.constant('close' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { clock, usage, look } = set();
        const open: (() => void)[] = [];
        let lastUse: number | undefined;
        for (const each of steps) {
          if (each.kind === 'wait') clock.now += each.ms;
          else if (each.kind === 'open') {
            open.push(usage.begin('vm'));
            lastUse = clock.now;
          } else if (each.kind === 'close') {
            const end = open.pop();
            end?.();
            if (end !== undefined) lastUse = clock.now;
          } else {
            if (each.isUsed) lastUse = clock.now;
            lastUse ??= clock.now;
            expect(look(each.isUsed)).toBe(open.length === 0 && clock.now - lastUse >= after);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('lifecycle.auto_stop_after', () => {
  const read = (value: string): number | null =>
    new ConfigFile('/c.toml', `[lifecycle]\nauto_stop_after = ${value}\n`).settings()
      .autoStopAfterMs;

  it('is off unless it is set', () => {
    expect(new ConfigFile('/c.toml', undefined).settings().autoStopAfterMs).toBeNull();
    expect(read('"off"')).toBeNull();
    expect(read('"30m"')).toBe(30 * minute);
  });

  it.each(['"0s"', '"999ms"', '"soon"', '"-5m"', '30', 'true', '""'])('cannot be %s', (value) => {
    expect(() => read(value)).toThrow(/c\.toml:2: lifecycle\.auto_stop_after/);
  });
});
