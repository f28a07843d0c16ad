import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Capability, Teardown } from '../../core/capability.ts';
import type { Claim, ClaimState, IdentityCodec } from '../../core/claim.ts';
import { createExecutor, executorPath } from '../../core/host/create-executor.ts';
import type { Executor } from '../../core/host/executor.ts';
import { openHelpersLock, type HelpersLock } from '../../core/host/helpers-lock.ts';
import type { Host } from '../../core/host/host.ts';
import { createInstance } from '../../core/host/instance.ts';
import { newToken } from '../../core/token.ts';
import { createTestLedger, noExecutor } from '../support/ledger.ts';
import { silentLog } from '../support/silent-log.ts';
import { firstOf, itUnless, needsRoot, needsTools } from '../support/skip.ts';
import { allCapabilities } from './support/capabilities.ts';
import { samplesOf, type Sample } from './support/samples.ts';

const never = new AbortController().signal;
const withNetwork = firstOf(needsRoot(), needsTools('ip', 'iptables', 'iptables-save', 'sysctl'));

/** Host commands in a network namespace of their own, where the suite may have one. */
class TestHost {
  readonly #folder: string;
  readonly #lock: HelpersLock;
  readonly #exec: Executor;
  readonly #namespace = `bgt-${newToken(6)}`;

  private constructor(folder: string, lock: HelpersLock) {
    this.#folder = folder;
    this.#lock = lock;
    this.#exec = createExecutor({
      log: silentLog,
      helpersLock: lock,
      path: executorPath(process.env['PATH']),
      isRoot: process.getuid?.() === 0,
    });
  }

  static async create(): Promise<TestHost> {
    const folder = await mkdtemp(join(tmpdir(), 'bgr-c-'));
    const lock = await openHelpersLock(join(folder, 'lock'), () => undefined);
    const host = new TestHost(folder, lock);
    if (withNetwork === undefined) await host.#exec.run('ip', ['netns', 'add', host.#namespace]);
    return host;
  }

  get host(): Host {
    const exec = this.#exec;
    const namespace = ['netns', 'exec', this.#namespace];
    return {
      exec:
        withNetwork === undefined
          ? {
              ...exec,
              run: (file, args, more) => exec.run('ip', [...namespace, file, ...args], more),
            }
          : exec,
      instance: createInstance(this.#instance),
      bootId: 'boot-1',
      directory: join(this.#folder, 'state'),
      log: silentLog,
    };
  }

  /** Of this host alone: tests of other runs make processes too. */
  readonly #instance = newToken(6);

  async destroy(): Promise<void> {
    if (withNetwork === undefined) await this.#exec.run('ip', ['netns', 'delete', this.#namespace]);
    await this.#lock.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

interface Undoable {
  readonly capability: Capability;
  readonly teardown: Teardown<unknown, unknown>;
  readonly codec: IdentityCodec<unknown, unknown>;
}

const undoable = allCapabilities.flatMap(({ capability }): Undoable[] => {
  const { teardown, identity: codec } = capability;
  return teardown === undefined || codec === undefined ? [] : [{ capability, teardown, codec }];
});

const pathOf = (identity: unknown): string | undefined =>
  typeof identity === 'object' &&
  identity !== null &&
  'path' in identity &&
  typeof identity.path === 'string'
    ? identity.path
    : undefined;

interface Outline {
  readonly name: string;
  readonly network: boolean;
  readonly isMakeable: boolean;
  readonly isPath: boolean;
}

const nowhere: Host = {
  exec: noExecutor,
  instance: createInstance('aaaaaa'),
  bootId: '',
  directory: '/',
  log: silentLog,
};

/** What there is to test: a sample itself is made anew for each test, with its token and folder. */
const outlines = ({ id }: Capability): Outline[] =>
  (samplesOf[id]?.({ host: nowhere, token: 'aaaaa' }) ?? []).map(
    ({ name, network, make, identity }) => ({
      name,
      network: network === true,
      isMakeable: make !== undefined,
      isPath: pathOf(identity) !== undefined,
    }),
  );

const junk: readonly unknown[] = [null, 0, '', 'x', [], {}, { kind: 'no-such' }, { path: 7 }];

it('has a sample of each kind of claim of each capability', () => {
  for (const { capability, codec } of undoable) {
    const names = outlines(capability).map(({ name }) => name);
    expect(names, capability.id).not.toEqual([]);
    const { options } = codec.schema as {
      options?: readonly { shape?: { kind?: { value?: string } } }[];
    };
    const kinds = (options ?? []).flatMap(({ shape }) => shape?.kind?.value ?? []);
    if (kinds.length > 0) expect([...kinds].sort(), capability.id).toEqual([...names].sort());
  }
});

it('pairs teardown and identity: what is claimed can be read and undone', () => {
  for (const { capability } of allCapabilities) {
    expect(capability.teardown === undefined, capability.id).toBe(
      capability.identity === undefined,
    );
  }
});

for (const { capability, teardown, codec } of undoable) {
  describe(`teardown of ${capability.id}`, () => {
    let world: TestHost;
    let host: Host;

    beforeEach(async () => {
      world = await TestHost.create();
      host = world.host;
      await mkdir(host.directory);
    });
    afterEach(() => world.destroy());

    const needs = outlines(capability).some(({ network }) => network) ? withNetwork : undefined;

    itUnless(needs, 'finds nothing on an empty host, nor where it was never set up', async () => {
      expect(await teardown.scan(host)).toEqual([]);
      await rm(host.directory, { recursive: true });
      expect(await teardown.scan(host)).toEqual([]);
    });

    for (const { name, network, isMakeable, isPath } of outlines(capability)) {
      const reason = network ? withNetwork : undefined;
      const token = newToken(5);

      const find = (): Sample => {
        const sample = samplesOf[capability.id]?.({ host, token }).find(
          (each) => each.name === name,
        );
        if (sample === undefined) throw new Error(`no sample ${name}`);
        return sample;
      };
      const claim = (sample: Sample, state: ClaimState): Claim => ({
        id: `${capability.id}/key`,
        seq: 1,
        capability: capability.id,
        key: 'key',
        scope: sample.scope,
        token,
        ownerId: sample.scope === 'vm' || sample.scope === 'run' ? 'vm-1' : null,
        runId: sample.scope === 'run' ? 'run-1' : null,
        identity: sample.identity,
        observed: state === 'intent' ? undefined : sample.observed,
        uses: [],
        state,
        bootId: host.bootId,
      });

      describe(name, () => {
        it('has an identity that survives JSON, and refuses junk', () => {
          const { identity, observed } = find();
          const parsed = codec.schema.parse(JSON.parse(JSON.stringify(identity)));
          expect(parsed).toEqual(identity);
          expect(codec.schema.parse(JSON.parse(JSON.stringify(parsed)))).toEqual(parsed);
          if (observed !== undefined)
            expect(codec.observed?.parse(JSON.parse(JSON.stringify(observed)))).toEqual(observed);
          for (const each of junk) {
            expect(codec.schema.safeParse(each).success, JSON.stringify(each)).toBe(false);
            expect(codec.observed?.safeParse(each).success ?? false, JSON.stringify(each)).toBe(
              false,
            );
          }
        });

        itUnless(reason, 'is cleaned where it never came to be, again and again', async () => {
          const sample = find();
          for (const state of ['intent', 'releasing', 'held'] as const) {
            await teardown.cleanup(claim(sample, state), host);
            await teardown.cleanup(claim(sample, state), host);
          }
          expect(await teardown.scan(host)).toEqual([]);
        });

        itUnless(
          reason,
          'is told as gone, or mended for a reason that is written down',
          async () => {
            const sample = find();
            expect(await teardown.reconcile(claim(sample, 'held'), host)).toBe(sample.gone);
            if (sample.gone !== 'lost') expect(sample.why).toMatch(/./);
            await teardown.cleanup(claim(sample, 'held'), host);
            expect(await teardown.scan(host)).toEqual([]);
          },
        );

        itUnless(reason, 'goes by its claim while the capability is switched off', async () => {
          const sample = find();
          // Installed for its teardown alone: no setup, no settings.
          const { ledger, rows, store } = await createTestLedger([capability], host);
          const bound = ledger.bind(capability, { vmId: 'vm-1', runId: 'run-1' }, never);
          const { scope, identity } = sample;
          const crash = new Error('crash');
          const isOwned = scope === 'vm' || scope === 'run';
          await bound
            .acquire({ key: 'key', scope, token, identity }, async () => {
              await sample.make?.();
              throw crash;
            })
            .catch((error: unknown) => {
              expect(error).toBe(crash);
            });
          // A daemon's own claim is undone at once, a VM's by its unwind.
          expect(rows.select({})).toHaveLength(isOwned ? 1 : 0);
          expect(await ledger.unwind({})).toEqual([]);
          expect(rows.select({})).toEqual([]);
          expect(await teardown.scan(host)).toEqual([]);
          store.close();
        });

        if (isMakeable)
          itUnless(reason, 'is found by its token without the database', async () => {
            const sample = find();
            await sample.make?.();
            const found = await teardown.scan(host);
            expect(found.map((each) => each.token)).toEqual([token]);
            const identity = found[0]?.identity ?? sample.identity;
            await teardown.cleanup({ ...claim(sample, 'intent'), identity }, host);
            expect(await teardown.scan(host)).toEqual([]);
          });

        if (isPath)
          itUnless(reason, 'is left alone where it is another’s of the same name', async () => {
            const sample = find();
            const path = pathOf(sample.identity);
            if (path === undefined) throw new Error('no path');
            // Held, and so known by more than its name.
            await writeFile(path, 'another’s');
            await expect(teardown.cleanup(claim(sample, 'held'), host)).rejects.toMatchObject({
              code: 'FOREIGN_OBJECT',
            });
            expect(await teardown.scan(host)).toHaveLength(1);
            // And outside of our folder whatever its name is.
            const elsewhere = join(tmpdir(), path.split('/').at(-1) ?? '');
            const moved = { ...(sample.identity as object), path: elsewhere };
            await writeFile(elsewhere, 'another’s');
            try {
              const wrong = { ...claim(sample, 'intent'), identity: moved };
              await expect(teardown.cleanup(wrong, host)).rejects.toMatchObject({
                code: 'FOREIGN_OBJECT',
              });
            } finally {
              await rm(elsewhere);
            }
          });
      });
    }
  });
}
