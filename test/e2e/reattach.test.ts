import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OperationEvent, VmDetails } from '../../core/api/contract/types.ts';
import { readEvents } from './support/events.ts';
import { createWorld, type World } from './support/world.ts';

/** `stage started` and `stage done`, in the order in which they came. */
const stagesOf = (events: readonly OperationEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'stage' ? [`${event.stage} ${event.status}`] : []));

describe('a client that goes away during a start', () => {
  let world: World;
  let operationId: string;
  let events: OperationEvent[];
  beforeAll(async () => {
    world = await createWorld();
    // So that no daemon has to start first.
    await world.ok(['daemon', 'start']);
  });
  afterAll(() => world.dispose());

  it('leaves the start to the daemon', async () => {
    const client = world.cliSpawn(['vm', 'create', '--name', 'left']);
    // Said before the first stage: the guest takes seconds from here on.
    if (client.stderr !== null) await once(client.stderr, 'data');
    client.kill('SIGKILL');
    await once(client, 'close');
    const { body: vm } = (await world.api('GET', '/v1/vms/left')) as { body: VmDetails };
    expect(vm.state).not.toBe('running');
    operationId = vm.operationId ?? 'none';
  });

  it('lets another one see all of it, from its begin to its end', async () => {
    events = await readEvents(world, operationId);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    const stages = stagesOf(events);
    expect(stages.filter((stage) => stage.endsWith('started'))).toEqual(
      ['image', 'rootfs', 'work-disk', 'network', 'boot', 'agent', 'provision', 'ready'].map(
        (stage) => `${stage} started`,
      ),
    );
    expect(stages.filter((stage) => stage.endsWith('done')).length).toBe(stages.length / 2);
    const end = events.at(-1);
    expect(end).toMatchObject({
      type: 'end',
      operation: { id: operationId, kind: 'create', vmName: 'left', state: 'done', error: null },
    });
  });

  it('has a VM that runs', async () => {
    expect(await world.show('left')).toMatchObject({ state: 'running', operationId: null });
    expect(await world.guest('left', 'hostname')).toBe('left');
  });

  it('lets a reader go on from the event that it saw last', async () => {
    const middle = Math.floor(events.length / 2);
    expect(await readEvents(world, operationId, middle)).toEqual(events.slice(middle));
    expect(await readEvents(world, operationId)).toEqual(events);
  });
});

describe('Ctrl-C during a start', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
    await world.ok(['daemon', 'start']);
  });
  afterAll(() => world.dispose());

  it('undoes it, and the next start works', async () => {
    await world.ok(['vm', 'create', '--no-start', '--name', 'undone']);
    const client = world.cliSpawn(['vm', 'start', 'undone']);
    let said = '';
    client.stderr?.setEncoding('utf8').on('data', (text: string) => {
      // The VMM runs and the guest boots.
      if (/^boot: done/m.test(text)) client.kill('SIGINT');
      said += text;
    });
    const [code] = (await once(client, 'close')) as [number | null];
    expect(said).toContain('cancelled');
    expect(code).toBe(130);
    expect(await world.show('undone')).toMatchObject({ state: 'stopped', pid: null });
    await world.ok(['vm', 'start', 'undone']);
    expect(await world.guest('undone', 'hostname')).toBe('undone');
  });
});
