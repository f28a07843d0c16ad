import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Harness } from './support/harness.ts';

const harness = new Harness();
beforeAll(() => harness.prepare());
afterEach(async () => {
  await harness.run(['daemon', 'stop']);
});
afterAll(() => {
  harness.cleanUp();
});

const pid = async (): Promise<number> =>
  Number((await harness.run(['daemon', 'status', '-q'])).stdout);

describe('the daemon', () => {
  it('is started by the first command that needs it, and outlives it', async () => {
    const { code, stdout } = await harness.run(['vm', 'list']);
    expect(code).toBe(0);
    expect(stdout).toContain('stays');
    expect(await pid()).toBeGreaterThan(0);
  });

  it('is one, however many commands start it', async () => {
    const all = await Promise.all(
      Array.from({ length: 5 }, () => harness.run(['vm', 'list', '-q'])),
    );
    expect(all.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0]);
  });

  it('tells why it cannot start', async () => {
    const error = {
      code: 'CONFIG_INVALID',
      message: 'config.toml:3: unknown key "natt"',
      remedy: 'Did you mean "nat"?',
    };
    const { code, stderr } = await harness.run(['vm', 'list'], {
      env: { FAKE_ERROR: JSON.stringify({ error }) },
    });
    expect(code).toBe(125);
    expect(stderr).toBe('banger: config.toml:3: unknown key "natt". Did you mean "nat"?\n');
  });

  it('that crashed at its start is told with its log', async () => {
    const { code, stderr } = await harness.run(['vm', 'list'], {
      env: { FAKE_ERROR: 'TypeError: x is not a function' },
    });
    expect(code).toBe(125);
    expect(stderr).toContain('TypeError: x is not a function');
    expect(stderr).toContain('daemon-start.log');
  });

  it('of another build is replaced, and the call repeated', async () => {
    const old = await harness.startForeign('old-build');
    const { code, stdout, stderr } = await harness.run(['vm', 'list', '-q']);
    expect(code).toBe(0);
    expect(stdout).not.toBe('');
    expect(stderr).toBe('');
    expect(await pid()).not.toBe(old);
    expect(existsSync(`/proc/${String(old)}/exe`)).toBe(false);
  });

  it('of another build is replaced once by many, who say so', async () => {
    await harness.startForeign('old-build');
    const all = await Promise.all(Array.from({ length: 4 }, () => harness.run(['vm', 'list'])));
    expect(all.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(all.map(({ stderr }) => stderr).join('')).toContain('replaced the daemon');
  });

  it('is not started by status and stop', async () => {
    expect(await harness.run(['daemon', 'status'])).toMatchObject({ code: 125, stdout: '' });
    expect(await harness.run(['daemon', 'stop'])).toMatchObject({
      code: 0,
      stderr: 'the daemon is not running\n',
    });
    expect(existsSync(harness.socketPath)).toBe(false);
  });

  it('stops in order: its process has gone when the command returns', async () => {
    await harness.run(['daemon', 'start']);
    const before = await pid();
    const { stderr } = await harness.run(['daemon', 'stop']);
    expect(stderr).toContain('daemon stopped; 1 VM keeps running');
    expect(existsSync(`/proc/${String(before)}/exe`)).toBe(false);
  });

  it('restarts as another process', async () => {
    await harness.run(['daemon', 'start']);
    const before = await pid();
    expect((await harness.run(['daemon', 'restart'])).code).toBe(0);
    expect(await pid()).not.toBe(before);
  });
});
