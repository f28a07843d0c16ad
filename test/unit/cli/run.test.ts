import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { finished, Harness, until } from './support/harness.ts';

const harness = new Harness();
beforeAll(() => harness.prepare());
beforeEach(() => harness.serve());
afterAll(() => {
  harness.cleanUp();
});

describe('vm run', () => {
  it('runs the command in a new VM, which stays', async () => {
    const { code, stdout, stderr } = await harness.run(
      ['vm', 'run', '--name', 'box', '--', 'sh', '-c', 'cat; exit 3'],
      { input: 'hello' },
    );
    expect({ code, stdout }).toEqual({ code: 3, stdout: 'hello' });
    expect(stderr).toBe('spec: 2 vcpu · 2048 MiB · 8G disk\n');
    expect(harness.daemon.vms.get('box')?.state).toBe('running');
  });

  it('--rm deletes it, and has waited for that', async () => {
    const { code, stdout, stderr } = await harness.run([
      ...['vm', 'run', '--rm', '-q', '--', 'sh', '-c', 'echo out; exit 3'],
    ]);
    expect({ code, stdout, stderr }).toEqual({ code: 3, stdout: 'out\n', stderr: '' });
    expect(harness.daemon.bodies[0]).toEqual({ ephemeral: true });
    expect(harness.daemon.vms.size).toBe(0);
    expect(harness.daemon.operations.get('op-2')?.operation.kind).toBe('delete');
  });

  it('--rm holds a lease that ends with a killed client', async () => {
    const child = harness.start(['vm', 'run', '--rm', '--', 'sleep', '60']);
    await until(() => harness.daemon.execs.length === 1);
    expect([...harness.daemon.leases]).toEqual(['eager-otter']);
    child.kill('SIGKILL');
    await until(() => harness.daemon.leases.size === 0);
    await until(() => harness.daemon.execs[0]?.isGone === true);
  });

  it('--rm deletes it too when the start fails, and says why', async () => {
    harness.daemon.play = (operation) => {
      if (operation.operation.kind === 'start') operation.end('failed', 'GUEST_FAILED');
      else operation.end('done');
    };
    const { code, stderr } = await harness.run(['vm', 'run', '--rm', '--', 'true']);
    expect(code).toBe(125);
    expect(stderr).toContain('it ended with GUEST_FAILED');
    expect(harness.daemon.vms.size).toBe(0);
  });

  it('--rm: Ctrl-C during the start cancels it and deletes the VM', async () => {
    harness.daemon.play = ({ operation, end }) => {
      if (operation.kind === 'delete') end('done');
    };
    const child = harness.start(['vm', 'run', '--rm', '--', 'true']);
    const end = finished(child);
    await until(() => harness.daemon.resumedFrom.length === 1);
    child.kill('SIGINT');
    expect((await end).code).toBe(130);
    expect(harness.daemon.operations.get('op-1')?.operation.state).toBe('cancelled');
    expect(harness.daemon.vms.size).toBe(0);
  });

  it('--rm: a reader that goes away costs the VM nothing but its life', async () => {
    const child = harness.start(['vm', 'run', '--rm', '--', 'yes']);
    const end = finished(child);
    child.stdout.once('data', () => child.stdout.destroy());
    expect((await end).code).toBe(141);
    await until(() => harness.daemon.vms.size === 0);
  });

  it('without a command or a terminal tells what to do next', async () => {
    const { code, stdout, stderr } = await harness.run(['vm', 'run', '--name', 'box']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    for (const line of ['ssh box', 'exec box -- uname -a', 'stop box', 'delete --force box'])
      expect(stderr).toContain(`banger vm ${line}\n`.trimEnd());
    expect(harness.daemon.execs).toEqual([]);
  });

  it('without a command in a terminal is a shell, with the terminal given back', async () => {
    const { code, stdout, terminal } = await harness.runInTerminal(
      ['vm', 'run', '--name', 'box'],
      [['delete --force box', 'echo from-$((40+2)); exit 5\n']],
    );
    expect(stdout).toContain('from-42');
    expect(harness.daemon.execs[0]?.request.pty).toEqual({ rows: 40, columns: 100 });
    expect({ code, terminal }).toEqual({ code: 5, terminal: 'cooked' });
  });

  it('a taken name leaves the other VM alone', async () => {
    harness.daemon.addVm('box');
    const { code, stderr } = await harness.run([
      'vm',
      'run',
      '--rm',
      '--name',
      'box',
      '--',
      'true',
    ]);
    expect(code).toBe(125);
    expect(stderr).toContain('Choose another name');
    expect(harness.daemon.vms.size).toBe(1);
  });
});
