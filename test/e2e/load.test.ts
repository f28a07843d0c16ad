import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leftovers } from './support/leftovers.ts';
import type { Outcome } from './support/run-program.ts';
import { createWorld, type World } from './support/world.ts';

const names = Array.from({ length: 8 }, (_, index) => `many-${index + 1}`);

/** Of the hundred cycles of scripts/soak, the part that is over within a minute. */
describe('eight VMs at once', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld({ config: '[defaults]\nvcpus = 1\nmemory = "256M"\n' });
    // Bindings to the image and the daemon's own objects come with the first VM, and are no part of this.
    await world.ok(['vm', 'run', '--rm', '--', 'true']);
  });
  afterAll(() => world.dispose());

  const each = (command: (name: string) => string[]): Promise<Outcome[]> =>
    Promise.all(names.map((name) => world.cli(command(name))));
  const succeeded = (outcomes: readonly Outcome[]): void => {
    const failures = outcomes.flatMap(({ code, stderr }) => (code === 0 ? [] : [stderr]));
    expect(failures).toEqual([]);
  };

  it('are created and started, and are eight machines', async () => {
    succeeded(await each((name) => ['vm', 'create', '--name', name]));
    const vms = await world.list();
    expect(vms.map(({ state }) => state)).toEqual(names.map(() => 'running'));
    for (const field of ['id', 'ip', 'pid'] as const)
      expect(new Set(vms.map((vm) => vm[field])).size).toBe(names.length);
    const hostnames = await each((name) => ['vm', 'exec', name, '--', 'hostname']);
    expect(hostnames.map(({ stdout }) => stdout.trim())).toEqual(names);
  });

  it('are deleted together, and leave nothing', async () => {
    succeeded(await each((name) => ['vm', 'delete', '--force', name]));
    expect(await world.list()).toEqual([]);
    await world.ok(['daemon', 'stop']);
    expect(await leftovers(await world.traces())).toEqual([]);
  });
});
