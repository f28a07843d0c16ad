import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { finished, Harness, until } from './support/harness.ts';

const harness = new Harness();
beforeAll(() => harness.prepare());
beforeEach(() => harness.serve());
afterAll(() => {
  harness.cleanUp();
});

describe('vm list and show', () => {
  it('--json prints the contract’s objects', async () => {
    const vm = harness.daemon.addVm('box');
    const list = await harness.run(['vm', 'list', '--json']);
    expect(JSON.parse(list.stdout)).toEqual([vm]);
    expect(list.stderr).toBe('');
    expect(JSON.parse((await harness.run(['vm', 'show', 'box', '--json'])).stdout)).toEqual(vm);
  });

  it('-q prints ids', async () => {
    const { id } = harness.daemon.addVm('box');
    expect((await harness.run(['vm', 'list', '-q'])).stdout).toBe(`${id}\n`);
  });

  it('aligns columns in a pipe', async () => {
    harness.daemon.addVm('box');
    harness.daemon.addVm('longer-name', {
      state: 'stopped',
      ip: null,
      conditions: [{ kind: 'degraded', detail: 'the tap is gone' }],
    });
    const { stdout } = await harness.run(['vm', 'list']);
    expect(stdout.replaceAll(/\d+s\n/g, 'Ns\n')).toBe(
      'NAME         STATE             IMAGE            VCPU  CPU  MEMORY  DISK  IP        AGE\n' +
        'box          running           debian-bookworm  2     -    2G      8G    10.0.0.2  Ns\n' +
        'longer-name  stopped,degraded  debian-bookworm  2     -    2G      8G    -         Ns\n',
    );
  });

  it('says on standard error how to make the first one', async () => {
    const { code, stdout, stderr } = await harness.run(['vm', 'list']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('banger vm run');
  });

  it('shows the same spec as create said', async () => {
    const created = await harness.run(['vm', 'create', '--name', 'box', '--memory', '1G']);
    expect(created.stderr).toContain('spec: 2 vcpu · 1024 MiB · 8G disk\n');
    expect((await harness.run(['vm', 'show', 'box'])).stdout).toMatch(
      /^spec: +2 vcpu · 1024 MiB · 8G disk$/m,
    );
  });

  it('cannot be made to move the cursor by what the daemon quotes', async () => {
    harness.daemon.addVm('box', {
      lastError: { code: 'GUEST_FAILED', message: 'it said \u001b[2J\u0007', remedy: 'none' },
    });
    const { stdout } = await harness.run(['vm', 'show', 'box']);
    expect(stdout).toContain('it said');
    expect(stdout).not.toContain('\u001b');
  });

  it('tells what the daemon refused, with its remedy', async () => {
    expect(await harness.run(['vm', 'show', 'nobody'])).toMatchObject({
      code: 125,
      stdout: '',
      stderr: "banger: there is no VM 'nobody'. See `banger vm list` for the VMs there are.\n",
    });
  });
});

describe('vm create', () => {
  it('sends what was asked for and prints the name', async () => {
    const { code, stdout } = await harness.run([
      ...['vm', 'create', '--no-start', '--name', 'box', '--image', 'i', '--vcpu', '3'],
      ...['--memory', '512', '--disk-size', '1.5G'],
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'box\n' });
    expect(harness.daemon.bodies).toEqual([
      {
        start: false,
        name: 'box',
        image: 'i',
        vcpus: 3,
        memoryMib: 512,
        diskBytes: 1.5 * 1024 ** 3,
      },
    ]);
  });

  it('-q prints the id alone', async () => {
    const { stdout, stderr } = await harness.run(['vm', 'create', '-q', '--name', 'box']);
    expect({ stdout, stderr }).toEqual({
      stdout: `${harness.daemon.vms.get('box')?.id ?? ''}\n`,
      stderr: '',
    });
  });
});

describe('several VMs at once', () => {
  it('works on all, reports each failure, and fails', async () => {
    harness.daemon.addVm('one');
    harness.daemon.addVm('two');
    const { code, stderr } = await harness.run(['vm', 'stop', 'one', 'nobody', 'two']);
    expect(code).toBe(125);
    expect(stderr).toContain("there is no VM 'nobody'");
    expect(stderr).toContain('one has stopped');
    expect([...harness.daemon.vms.values()].map(({ state }) => state)).toEqual([
      'stopped',
      'stopped',
    ]);
  });

  it('has nothing to do where it is done already', async () => {
    harness.daemon.addVm('up');
    harness.daemon.addVm('down', { state: 'stopped' });
    expect(await harness.run(['vm', 'start', 'up'])).toMatchObject({
      code: 0,
      stderr: 'up is running already\n',
    });
    expect(await harness.run(['vm', 'stop', 'down'])).toMatchObject({
      code: 0,
      stderr: 'down is stopped already\n',
    });
  });

  it('delete refuses a running VM without --force', async () => {
    harness.daemon.addVm('up');
    const refused = await harness.run(['vm', 'delete', 'up']);
    expect(refused).toMatchObject({ code: 125 });
    expect(refused.stderr).toContain('--force');
    expect((await harness.run(['vm', 'delete', '--force', 'up'])).code).toBe(0);
    expect(harness.daemon.vms.size).toBe(0);
  });
});

describe('vm logs', () => {
  it('prints the file as it is into a pipe, and the last lines of it', async () => {
    const path = join(harness.directory, 'console.log');
    writeFileSync(path, 'one\n\u001b[31mtwo\u001b[0m\nthree\n');
    harness.daemon.addVm('box', { logs: { console: path } });
    expect((await harness.run(['vm', 'logs', 'box'])).stdout).toBe(
      'one\n\u001b[31mtwo\u001b[0m\nthree\n',
    );
    expect((await harness.run(['vm', 'logs', '-n', '1', 'box'])).stdout).toBe('three\n');
    const missing = await harness.run(['vm', 'logs', '--vmm', 'box']);
    expect(missing.code).toBe(125);
    expect(missing.stderr).toContain('has no vmm log yet');
  });

  it('--follow goes on with what is added, and ends with its reader', async () => {
    const path = join(harness.directory, 'growing.log');
    writeFileSync(path, 'one\n');
    harness.daemon.addVm('box', { logs: { console: path } });
    const child = harness.start(['vm', 'logs', '-f', 'box']);
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await until(() => seen === 'one\n');
    writeFileSync(path, 'two\n', { flag: 'a' });
    await until(() => seen === 'one\ntwo\n');
    const end = finished(child);
    child.stdout.destroy();
    await until(() => {
      writeFileSync(path, 'more\n', { flag: 'a' });
      return child.exitCode !== null;
    });
    expect((await end).code).toBe(141);
  });
});
