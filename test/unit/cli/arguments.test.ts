import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Harness } from './support/harness.ts';

const harness = new Harness();
beforeAll(() => harness.prepare());
beforeEach(() => harness.serve());
afterAll(() => {
  harness.cleanUp();
});

describe('a wrong command line', () => {
  it.each([
    [['vm', 'run', '--memory', 'abc', '--', 'true'], "'abc' is not a memory size"],
    [['vm', 'run', '--memory', '0', '--', 'true'], "'0' is not a memory size"],
    [['vm', 'create', '--disk-size', '8'], "'8' is not a disk size"],
    [['vm', 'create', '--vcpu', '0'], "'0' is not a count"],
    [['vm', 'create', '--vcpu', '1.5'], "'1.5' is not a count"],
    [['vm', 'create', '--name', 'Box'], "'Box' is not a VM name"],
    [['vm', 'create', '--name', 'box/../evil'], "'box/../evil' is not a VM name"],
    [['vm', 'start', 'ok', '-bad'], "unknown option '-bad'"],
    [['vm', 'start', 'ok', 'bad-'], "'bad-' is not a VM name"],
    [['vm', 'show', 'x'.repeat(64)], 'is not a VM name'],
    [['vm', 'exec', 'box'], 'the command goes after --'],
    [['vm', 'exec', 'box', 'ls'], 'the command goes after --'],
    [['vm', 'exec', '-e', 'X', 'box', '--', 'ls'], "'X' sets no variable"],
    [['vm', 'run', '--'], 'no command after --'],
    [['vm', 'run', '--rm'], '--rm has nothing to run'],
    [['vm', 'run', 'ls'], "'ls' is no folder"],
    [['vm', 'list', '--', 'x'], 'takes nothing after --'],
    [['vm', 'lst'], 'Did you mean one of list, ls?'],
    [['vm', 'start'], "missing required argument 'name'"],
    [['x', 'a', 'b', '{'], 'the input is no JSON'],
  ])('%j is refused in one line before any call', async (args, message) => {
    const { code, stdout, stderr } = await harness.run(args);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^banger: .+\. .+\n$/);
    expect({ code, stdout, calls: harness.daemon.calls }).toEqual({
      code: 2,
      stdout: '',
      calls: [],
    });
  });

  it('is JSON on standard error where JSON was asked for', async () => {
    const { code, stderr } = await harness.run(['vm', 'show', '--json', 'A']);
    expect(code).toBe(2);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'VM_NAME_INVALID' } });
  });

  it('names the help of the command it knows', async () => {
    expect((await harness.run(['vm', 'runn'])).stderr).toContain('See `banger vm --help`.');
    expect((await harness.run(['vm', 'run', '--nam'])).stderr).toContain(
      'See `banger vm run --help`.',
    );
  });
});

describe('help and version', () => {
  it('--help goes to standard output and exits 0', async () => {
    const { code, stdout } = await harness.run(['vm', 'run', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('banger vm run --rm -- uname -a');
  });

  it('no command at all prints help and exits 2', async () => {
    const { code, stderr } = await harness.run([]);
    expect(code).toBe(2);
    expect(stderr).toContain('Usage: banger');
  });

  it('--version tells the version', async () => {
    expect(await harness.run(['--version'])).toMatchObject({ code: 0, stdout: 'banger 9.9.9\n' });
  });
});
