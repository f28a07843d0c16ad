import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defineCapability } from '../../../core/capability.ts';
import { ConfigFile } from '../../../core/config/settings.ts';
import { locateKey } from '../../../core/config/locate.ts';

const capability = (id: string, optional: boolean) => ({
  capability: defineCapability({
    id,
    summary: id,
    optional,
    config: z.strictObject({ driver: z.enum(['auto', 'copy']).default('auto') }),
    setup: () => ({}),
  }),
  mayBeOff: optional,
});
const installed = [capability('rootfs', false), capability('nat', true)];

const problem = (text: string): string => {
  try {
    const file = new ConfigFile('/c.toml', text);
    file.forCapabilities(installed, true);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'accepted';
};

describe('configuration', () => {
  it('needs no file', () => {
    const file = new ConfigFile('/c.toml', undefined);
    expect(file.settings()).toMatchObject({
      vmm: 'auto',
      defaults: { image: 'debian-bookworm', vcpus: 2, memoryMib: 2048, diskBytes: 8 * 1024 ** 3 },
      stopTimeoutMs: 10_000,
      healthIntervalMs: 30_000,
    });
    const { isEnabled, settings } = file.forCapabilities(installed, true);
    expect(isEnabled('nat')).toBe(true);
    expect(settings.get('rootfs')).toEqual({ driver: 'auto' });
  });

  it.each([
    ['vmm = ', '/c.toml:1:'],
    ['\n\n[default]\nvcpus = 1', "/c.toml:3: default: unknown key; did you mean 'defaults'?"],
    ['[defaults]\nvcpu = 1', "/c.toml:2: defaults.vcpu: unknown key; did you mean 'vcpus'?"],
    ['[defaults]\nvcpus = 0', '/c.toml:2: defaults.vcpus: 0 is not allowed; at least 1'],
    [
      '[defaults]\nvcpus = "two"',
      '/c.toml:2: defaults.vcpus: "two" is not allowed; expected: number',
    ],
    ['[defaults]\nmemory = "2 bananas"', '/c.toml:2: defaults.memory: "2 bananas" is not allowed'],
    ['[log]\nlevel = "loud"', 'allowed: "debug", "info", "warn", "error"'],
    [
      '[rootfs]\ndriver = "magic"',
      '/c.toml:2: rootfs.driver: "magic" is not allowed; allowed: "auto", "copy"',
    ],
    ['[rootfs]\ndrivr = "copy"', "/c.toml:2: rootfs.drivr: unknown key; did you mean 'driver'?"],
    [
      '[capabilities]\nnta = false',
      "/c.toml:2: capabilities.nta: unknown key; did you mean 'nat'?",
    ],
    ['[capabilities]\nrootfs = false', 'cannot be switched off; these can: nat'],
    [
      '[[plugins]]\npath = "x"\n[[plugins]]\npth = "y"',
      "/c.toml:4: plugins.1.pth: unknown key; did you mean 'path'?",
    ],
    ['[[plugins]]\npath = "x"\npackage = "y"', 'either `path` or `package`'],
    ['[lifecycle]\nstop_timeout = "soon"', 'a duration such as "500ms", "10s" or "5m"'],
  ])('refuses %j with file, line, key and what is allowed', (text, expected) => {
    expect(problem(text)).toContain(expected);
  });

  it('switches an optional capability off', () => {
    const file = new ConfigFile('/c.toml', '[capabilities]\nnat = false');
    expect(file.forCapabilities(installed, true).isEnabled('nat')).toBe(false);
  });

  it('does not call a table unknown whose plugin failed to load', () => {
    const file = new ConfigFile('/c.toml', '[my-plugin]\na = 1');
    expect(() => file.forCapabilities(installed, false)).not.toThrow();
    expect(() => file.forCapabilities(installed, true)).toThrow('my-plugin: unknown key');
  });

  it('finds the nearest line of a key', () => {
    const text = 'a.b = 1\n[t]\nx = 1\n\n[t.u]\ny = 2\n[[l]]\nz = 1\n[[l]]\nz = 2';
    expect(locateKey(text, ['a', 'b'])).toBe(1);
    expect(locateKey(text, ['t', 'u', 'y'])).toBe(6);
    expect(locateKey(text, ['t', 'missing'])).toBe(2);
    expect(locateKey(text, ['l', 1, 'z'])).toBe(10);
  });
});
