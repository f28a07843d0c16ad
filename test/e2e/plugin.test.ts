import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tracesOf } from './support/leftovers.ts';
import { linesBefore } from './support/vmm.ts';
import { createWorld, smallVms, type World } from './support/world.ts';

const repository = join(import.meta.dirname, '..', '..');
const plugin = (path: string): string => `[[plugins]]\npath = "${path}"\n`;

/** A plugin's folder beside config.toml, outside of the repository. */
const writePlugin = async (world: World, name: string, source: string): Promise<void> => {
  const folder = join(world.root, 'c', name);
  await mkdir(folder);
  await writeFile(
    join(folder, 'package.json'),
    JSON.stringify({ name, type: 'module', exports: './index.js' }),
  );
  await writeFile(
    join(folder, 'index.js'),
    `import { defineCapability, z } from 'banger/plugin-api';\n${source}\n`,
  );
};

describe('the example plugin, copied out of the repository', () => {
  let world: World;
  const config = (greeting: string): string =>
    `${smallVms}${plugin('hello')}\n[hello-provision]\ngreeting = ${greeting}\n`;
  beforeAll(async () => {
    world = await createWorld({ config: config('"Welcome"') });
    await cp(join(repository, 'plugins', 'hello-provision'), join(world.root, 'c', 'hello'), {
      recursive: true,
    });
  });
  afterAll(() => world.dispose());

  it('provisions a guest, with its setting', async () => {
    await world.ok(['vm', 'create', '--name', 'greet']);
    expect(await world.guest('greet', 'cat /etc/motd.d/hello')).toBe('Welcome, greet');
    expect(await world.guest('greet', 'cat /var/lib/hello-provisioned')).toMatch(/^\d{4}-.*Z$/);
    const { capabilities } = await world.status();
    expect(capabilities.find(({ id }) => id === 'hello-provision')).toMatchObject({
      enabled: true,
      error: null,
      origin: 'banger-plugin-hello-provision',
    });
  });

  it('does once what is to be done once, also after a restart of the daemon', async () => {
    await world.guest('greet', 'echo mine > /etc/motd.d/hello; rm /var/lib/hello-provisioned');
    await world.ok(['daemon', 'restart']);
    await world.ok(['vm', 'restart', 'greet']);
    const left = 'cat /etc/motd.d/hello; ls /var/lib/hello-provisioned 2>&1 | grep -c "No such"';
    expect(await world.guest('greet', left)).toBe('mine\n1');
  });

  it('has a wrong setting refused by file, line and key, and nothing is lost', async () => {
    const wrong = config('5');
    const line = wrong.split('\n').findIndex((text) => text.startsWith('greeting')) + 1;
    await world.writeConfig(wrong);
    const refused = await world.cli(['daemon', 'restart']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toContain(
      `${world.configPath}:${line + linesBefore}: hello-provision.greeting: 5`,
    );
    await world.writeConfig(config('"Hi"\ngreting = "Hi"'));
    expect((await world.cli(['vm', 'list'])).stderr).toContain(
      "hello-provision.greting: unknown key; did you mean 'greeting'?",
    );
    await world.writeConfig(config('"Hi"'));
    expect(await world.guest('greet', 'cat /etc/motd.d/hello')).toBe('mine');
    await world.ok(['vm', 'create', '--name', 'second']);
    expect(await world.guest('second', 'cat /etc/motd.d/hello')).toBe('Hi, second');
  });
});

describe('a plugin that fails', () => {
  let world: World;
  const use = async (...plugins: readonly string[]): Promise<void> => {
    await world.writeConfig(smallVms + plugins.map(plugin).join(''));
    await world.ok(['daemon', 'restart']);
  };
  beforeAll(async () => {
    world = await createWorld();
    await writePlugin(world, 'broken-load', `throw new Error('no flux');`);
    await writePlugin(
      world,
      'broken-start',
      `export default defineCapability({ id: 'broken-start', summary: 'fails', config: z.strictObject({}),
         after: ['tap-pool', 'nat'],
         setup: () => ({ preStart: async () => { throw new Error('no jet'); } }) });`,
    );
    await writePlugin(
      world,
      'broken-script',
      `export default defineCapability({ id: 'broken-script', summary: 'fails', config: z.strictObject({}),
         setup: () => ({ provision: async () => [{ id: 'look', summary: 'look', when: 'once', kind: 'script',
           script: 'test -e /root/allowed || { echo not yet >&2; exit 9; }; touch /root/looked' }] }) });`,
    );
    await world.ok(['vm', 'create', '--name', 'old']);
    await world.ok(['vm', 'create', '--name', 'idle', '--no-start']);
  });
  afterAll(() => world.dispose());

  it('as it is loaded: is named, and what is there stays of use', async () => {
    await use('broken-load');
    expect((await world.list()).map(({ state }) => state)).toEqual(['running', 'stopped']);
    expect(await world.guest('old', 'hostname')).toBe('old');
    const { capabilities } = await world.status();
    expect(capabilities.flatMap(({ error }) => error ?? [])).toEqual([
      expect.stringMatching(/'broken-load'.*no flux/),
    ]);
    const doctor = await world.cli(['doctor']);
    expect(doctor.code).toBe(1);
    expect(doctor.stdout + doctor.stderr).toContain('broken-load');

    const refused = await world.cli(['vm', 'start', 'idle']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(/'broken-load'.*no flux/);
    await world.ok(['vm', 'stop', 'old']);
    expect((await world.list()).map(({ name, state }) => [name, state])).toEqual([
      ['old', 'stopped'],
      ['idle', 'stopped'],
    ]);
  });

  it('where there is none: is named, too', async () => {
    await use('nowhere');
    expect((await world.cli(['vm', 'start', 'idle'])).stderr).toContain("'nowhere'");
    expect((await world.list()).length).toBe(2);
  });

  it('before a start: is named, and the start is undone', async () => {
    await use('broken-start');
    const failed = await world.cli(['vm', 'start', 'idle']);
    expect(failed.code).toBe(125);
    expect(failed.stderr).toMatch(/broken-start.*preStart.*no jet/);
    expect(await world.show('idle')).toMatchObject({
      state: 'stopped',
      lastError: { code: 'PLUGIN_FAILED' },
    });
    const failedCreate = await world.cli(['vm', 'create', '--name', 'never']);
    expect(failedCreate.stderr).toContain('broken-start');
    expect((await world.list()).map(({ name }) => name)).toEqual(['old', 'idle']);
    // The daemon is there with its bridge and the uplink's forwarding, and nothing of the VM.
    const taken = (await tracesOf(await world.traces())).filter(
      (line) =>
        !/^process .*daemon\.js|^socket |^link bgr-\w{6}br$| forwarding \S+ was off"/.test(line),
    );
    expect(taken).toEqual([]);
  });

  it('in the guest: leaves the VM up and unprovisioned, and the next start tries again', async () => {
    await use('broken-script');
    const failed = await world.cli(['vm', 'start', 'idle']);
    expect(failed.code).toBe(125);
    expect(failed.stderr).toMatch(/'look' of 'broken-script'.*exit code 9: not yet/);
    const vm = await world.show('idle');
    expect(vm.state).toBe('running');
    expect(vm.conditions).toEqual([
      { kind: 'unprovisioned', detail: expect.stringContaining('broken-script') as string },
    ]);
    await world.guest('idle', 'touch /root/allowed');
    await world.ok(['vm', 'restart', 'idle']);
    expect((await world.show('idle')).conditions).toEqual([]);
    expect(await world.guest('idle', 'ls /root/looked')).toBe('/root/looked');
  });

  it('and is taken out again: all is as before', async () => {
    await use();
    await world.ok(['vm', 'start', 'old']);
    expect(await world.guest('old', 'hostname')).toBe('old');
    expect(await world.guest('idle', 'hostname')).toBe('idle');
  });
});
