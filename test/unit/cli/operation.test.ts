import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { finished, Harness, until } from './support/harness.ts';
import type { FakeOperation } from './support/fake-daemon.ts';

const harness = new Harness();
beforeAll(() => harness.prepare());
beforeEach(() => harness.serve());
afterAll(() => {
  harness.cleanUp();
});

const stages = ({ emit, end }: FakeOperation): void => {
  for (const stage of ['rootfs', 'boot', 'agent']) {
    emit({ type: 'stage', stage, status: 'started' });
    emit({ type: 'stage', stage, status: 'done', durationMs: 1234 });
  }
  emit({ type: 'notice', text: 'KVM does not work here, so TCG it is' });
  end('done');
};

describe('following an operation', () => {
  it('prints each stage once, on standard error', async () => {
    harness.daemon.play = stages;
    const { code, stdout, stderr } = await harness.run(['vm', 'create', '--name', 'box']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'box\n' });
    expect(stderr).toBe(
      'spec: 2 vcpu · 2048 MiB · 8G disk\n' +
        'rootfs: done (1.2 s)\nboot: done (1.2 s)\nagent: done (1.2 s)\n' +
        'KVM does not work here, so TCG it is\n',
    );
  });

  it('goes on where a cut connection left off', async () => {
    harness.daemon.play = stages;
    harness.daemon.cutAfter = [2, 0, 3];
    const { code, stderr } = await harness.run(['vm', 'create', '--name', 'box']);
    expect(code).toBe(0);
    expect(stderr.match(/done/g)).toHaveLength(3);
    expect(harness.daemon.resumedFrom).toEqual([0, 2, 2, 5]);
  });

  it('fails as the operation does, with its remedy', async () => {
    harness.daemon.play = ({ emit, end }) => {
      emit({ type: 'stage', stage: 'boot', status: 'failed' });
      end('failed', 'GUEST_FAILED');
    };
    const { code, stdout, stderr } = await harness.run(['vm', 'create', '--name', 'box']);
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toContain('boot: failed\n');
    expect(stderr).toContain('it ended with GUEST_FAILED. See the console with');
  });

  it('Ctrl-C cancels what create began, and waits for its end', async () => {
    harness.daemon.play = () => undefined;
    const child = harness.start(['vm', 'create', '--name', 'box']);
    const end = finished(child);
    await until(() => harness.daemon.resumedFrom.length === 1);
    child.kill('SIGINT');
    expect(await end).toMatchObject({ code: 130, stdout: '' });
    expect(harness.daemon.operations.get('op-1')?.operation.state).toBe('cancelled');
  });

  it('Ctrl-C leaves a stop to the daemon', async () => {
    harness.daemon.addVm('box');
    harness.daemon.play = () => undefined;
    const child = harness.start(['vm', 'stop', 'box']);
    const end = finished(child);
    await until(() => harness.daemon.resumedFrom.length === 1);
    child.kill('SIGINT');
    expect((await end).code).toBe(130);
    expect(harness.daemon.operations.get('op-1')?.operation.state).toBe('running');
  });
});

describe('in a terminal', () => {
  it('shows one line that changes and one that stays', async () => {
    harness.daemon.play = stages;
    const { code, stdout } = await harness.runInTerminal(['vm', 'create', '--name', 'box'], []);
    expect(code).toBe(0);
    expect(stdout).toMatch(/✓.* s.*rootfs 1\.2 s · boot 1\.2 s · agent 1\.2 s/);
  });
});
