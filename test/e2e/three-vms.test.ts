import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type World } from './support/world.ts';

const names = ['one', 'two', 'three'] as const;
const distinct = (values: readonly unknown[]): number => new Set(values).size;

describe('three VMs at once', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
  });
  afterAll(() => world.dispose());

  it('are made by three clients together, of which one starts the daemon', async () => {
    const made = await Promise.all(
      names.map((name) => world.cli(['vm', 'create', '--name', name])),
    );
    expect(made.map(({ code, stdout }) => [code, stdout])).toEqual(
      names.map((name) => [0, `${name}\n`]),
    );
    const vms = await world.list();
    expect(vms.map(({ state }) => state)).toEqual(['running', 'running', 'running']);
    for (const field of ['id', 'name', 'ip', 'pid'] as const)
      expect(distinct(vms.map((vm) => vm[field]))).toBe(3);
  });

  it('are three machines', async () => {
    const script =
      'hostname; cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub | cut -d" " -f2; cat /sys/class/net/e*/address';
    const told = await Promise.all(names.map((name) => world.guest(name, script)));
    const facts = told.map((text) => text.split('\n'));
    expect(facts.map(([hostname]) => hostname)).toEqual([...names]);
    for (const index of [1, 2, 3]) expect(distinct(facts.map((each) => each[index]))).toBe(3);
    expect(facts.map((each) => each.length)).toEqual([4, 4, 4]);
  });

  it('have files of their own', async () => {
    await Promise.all(
      names.map((name) => world.guest(name, `echo ${name} > /root/n > /n; echo ${name} > /n`)),
    );
    const read = await Promise.all(names.map((name) => world.guest(name, 'cat /n; ls /root/n')));
    expect(read).toEqual(names.map((name) => `${name}\n/root/n`));
  });

  it('live and end apart', async () => {
    await world.ok(['vm', 'kill', 'two']);
    expect((await world.show('two')).state).toBe('stopped');
    expect(await world.guest('one', 'cat /n')).toBe('one');
    await world.ok(['vm', 'delete', '--force', 'one']);
    expect(await world.guest('three', 'cat /n')).toBe('three');
    await world.ok(['vm', 'start', 'two']);
    expect(await world.guest('two', 'hostname')).toBe('two');
  });

  it('give one name to one VM', async () => {
    const made = await Promise.all(
      names.map(() => world.cli(['vm', 'create', '--no-start', '--name', 'only'])),
    );
    expect(made.map(({ code }) => code).sort()).toEqual([0, 125, 125]);
    const generated = await Promise.all(names.map(() => world.ok(['vm', 'create', '--no-start'])));
    expect(distinct(generated)).toBe(3);
  });
});
