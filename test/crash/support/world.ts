import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pollUntil } from '../../e2e/support/poll.ts';
import { endProcesses, tracesOf } from '../../e2e/support/leftovers.ts';
import { hasKernels } from '../../support/user-cache.ts';
import { imageBuild } from './actions.ts';
import { CrashDaemon } from './daemon.ts';
import {
  addUplink,
  forwardingOf,
  makePlace,
  removePlace,
  removeUplink,
  tools,
  type CrashPlace,
  type CrashWorldOptions,
} from './place.ts';
import { isCommand, parsePoints, type Failure, type KillPhase, type Point } from './points.ts';

/** What of a daemon may be there while no VM runs: itself, and what it keeps for the next VM. */
const isIdle = (line: string, daemonPid: number | undefined): boolean =>
  line.startsWith(`process ${String(daemonPid)} `) ||
  /^link bgr-\w+br$/.test(line) ||
  (line.startsWith('iptables-save') && line.includes(' forwarding ')) ||
  line.startsWith('sysctl ') ||
  // Firecracker's double's own: they go with the VM's folder.
  /^socket .*\/double\//.test(line) ||
  (line.startsWith('socket ') && line.endsWith('/banger.sock'));

/** What is known of a world outlives the host's power. */
export interface SavedWorld {
  readonly place: CrashPlace;
  readonly baseline: readonly string[];
}

/** One state directory that daemons die over, one after the other. */
export class CrashWorld {
  #place: CrashPlace;
  #daemon: CrashDaemon | undefined;
  #armed = 0;
  /** Files below the state directory while no VM is there. */
  #baseline: ReadonlySet<string> = new Set();

  private constructor(place: CrashPlace) {
    this.#place = place;
  }

  static async create(options: CrashWorldOptions): Promise<CrashWorld> {
    const { kit, rootfs, images } = options;
    // A kernel that was built once is all that a tiny image takes from the user's cache.
    if (images !== undefined && !hasKernels())
      await (await CrashWorld.create({ kit, rootfs })).dispose();
    const world = new CrashWorld(await makePlace(options));
    try {
      // The image, the client key and whatever else is made once.
      if (images === 'none') await imageBuild.goOn?.(await world.daemon());
      else await world.#withVm();
      world.#baseline = new Set(await world.#files());
      await world.stop();
      return world;
    } catch (error) {
      await world.dispose();
      throw error;
    }
  }

  /** To be opened again after the host was booted; nothing of it runs. */
  save(): SavedWorld {
    return { place: this.#place, baseline: [...this.#baseline] };
  }

  static async reopen({ place, baseline }: SavedWorld): Promise<CrashWorld> {
    await addUplink(place.uplink);
    const world = new CrashWorld(place);
    world.#baseline = new Set(baseline);
    return world;
  }

  /** The files stay. */
  async close(): Promise<void> {
    await this.stop();
    await removeUplink(this.#place.uplink);
  }

  /** The daemon that runs, or a new one, recovered. */
  async daemon(): Promise<CrashDaemon> {
    if (this.#daemon === undefined || this.#daemon.hasEnded) {
      this.#daemon = await this.#start();
      await this.#daemon.recovered();
    }
    return this.#daemon;
  }

  #start(): Promise<CrashDaemon> {
    return CrashDaemon.start(this.#place.daemon);
  }

  async #withVm(): Promise<void> {
    const daemon = await this.daemon();
    await daemon.mustOperate('POST', '/v1/vms', { name: 'v' });
    await daemon.mustOperate('DELETE', '/v1/vms/v?force=true');
  }

  async #arm(what: Readonly<Record<string, unknown>>): Promise<string> {
    const id = String(++this.#armed);
    for (const name of ['reached', 'shims/.go', 'shims/.held'])
      await rm(join(this.#place.control, name), { force: true });
    await writeFile(join(this.#place.control, 'arm.json'), JSON.stringify({ id, ...what }));
    return id;
  }

  async #disarm(): Promise<void> {
    await rm(join(this.#place.control, 'arm.json'), { force: true });
  }

  async #wasReached(id: string): Promise<boolean> {
    const reached = await readFile(join(this.#place.control, 'reached'), 'utf8').catch(absent);
    return reached === id;
  }

  /** All the points of an action, each once. */
  async record(act: (daemon: CrashDaemon) => Promise<void>): Promise<Point[]> {
    const path = join(this.#place.control, 'points');
    await rm(path, { force: true });
    const daemon = await this.daemon();
    await this.#arm({ mode: 'record' });
    await act(daemon);
    await this.#disarm();
    const points = parsePoints((await readFile(path, 'utf8').catch(absent)) ?? '');
    const missing = points.filter(
      (point) => isCommand(point) && !tools.includes(point.name.slice('command/'.length)),
    );
    if (missing.length > 0) throw new Error(`no shim: ${missing.map(({ name }) => name).join()}`);
    return points;
  }

  /**
   * Kills the daemon at the point and starts the next one. @returns false where the point did not come
   */
  async kill(
    act: (daemon: CrashDaemon) => Promise<unknown>,
    point: Point,
    phase: KillPhase,
  ): Promise<boolean> {
    const daemon = await this.daemon();
    const id = await this.#arm({ mode: 'kill', point: point.name, nth: point.nth, phase });
    // Cut off in the middle, or refused: the daemon is dead.
    const acting = act(daemon).catch((error: unknown) => error);
    await Promise.race([daemon.ended, acting]);
    if (!(await this.#wasReached(id))) {
      await acting;
      await this.#disarm();
      return false;
    }
    await daemon.ended;
    await acting;
    this.#daemon = await this.#start();
    if (phase === 'during' && isCommand(point) && !point.name.includes('qemu-system')) {
      const held = join(this.#place.control, 'shims', '.held');
      await pollUntil('the held helper', 10_000, async () =>
        (await readFile(held).catch(absent)) === undefined ? undefined : true,
      );
      const { recovery } = await this.#daemon.status();
      if (recovery.state !== 'waiting')
        throw new Error(`recovery is ${recovery.state} while a helper of the killed daemon lives`);
      await writeFile(join(this.#place.control, 'shims', '.go'), '');
    }
    await this.#daemon.recovered();
    return true;
  }

  /** Makes the command fail once. @returns whether the point came */
  async fail(
    act: (daemon: CrashDaemon) => Promise<unknown>,
    point: Point,
    how: Failure,
  ): Promise<boolean> {
    const daemon = await this.daemon();
    const id = await this.#arm({ mode: 'fail', point: point.name, nth: point.nth, how });
    await act(daemon);
    const reached = await this.#wasReached(id);
    await this.#disarm();
    return reached;
  }

  /**
   * What should not be there now: leaks by the daemon's own survey, objects on the host that no running VM
   * accounts for, a record that is neither stopped nor healthy.
   * @param mayHaveClaims an operation has failed and said so: what it could not undo is claimed still
   */
  async problems(mayHaveClaims = false): Promise<string[]> {
    const daemon = await this.daemon();
    const vm = await daemon.vm('v');
    const found = (await daemon.leaks()).leaks.map(
      ({ kind, capability, what, detail }) => `${kind} ${capability}: ${what}: ${detail}`,
    );
    if (vm !== undefined && vm.state !== 'running' && vm.state !== 'stopped')
      found.push(`VM is ${vm.state}`);
    if (vm?.state === 'running' && vm.conditions.length > 0)
      found.push(`VM runs, but is ${JSON.stringify(vm.conditions)}`);
    if (vm?.state !== 'running' && !mayHaveClaims) {
      const traces = await tracesOf({
        instance: await this.#instance(),
        folders: [this.#place.root],
      });
      found.push(...traces.filter((line) => !isIdle(line, daemon.pid)));
    }
    return found;
  }

  /** Goes on from whatever record there is, deletes it, and says what is left then. */
  async finish(goOn?: (daemon: CrashDaemon) => Promise<void>): Promise<string[]> {
    const daemon = await this.daemon();
    const vm = await daemon.vm('v');
    const found: string[] = [];
    const attempt = (work: Promise<void> | undefined): Promise<void> | undefined =>
      work?.catch((error: unknown) => {
        found.push(error instanceof Error ? error.message : String(error));
      });
    if (vm?.state === 'stopped') await attempt(daemon.mustOperate('POST', '/v1/vms/v/start'));
    if (vm !== undefined) await attempt(daemon.mustOperate('DELETE', '/v1/vms/v?force=true'));
    await attempt(goOn?.(daemon));
    found.push(...(await this.problems()));
    const files = (await this.#files()).filter((path) => !this.#baseline.has(path));
    return [...found, ...files.map((path) => `file ${path}`)];
  }

  /** Stops the daemon in order. @returns what is on the host then */
  async stop(): Promise<string[]> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon?.hasEnded === false) await daemon.stop();
    return this.#left();
  }

  async #left(): Promise<string[]> {
    const traces = await tracesOf({
      instance: await this.#instance(),
      folders: [this.#place.root],
    });
    const isForwarding = (await readFile(forwardingOf(this.#place.uplink), 'utf8')).trim() !== '0';
    return [...traces, ...(isForwarding ? [`sysctl ${this.#place.uplink} forwards`] : [])];
  }

  async #instance(): Promise<string | undefined> {
    const stored = await readFile(join(this.#place.state, 'instance.json'), 'utf8').catch(absent);
    return stored === undefined ? undefined : (JSON.parse(stored) as { token: string }).token;
  }

  /** Of capabilities; logs and the database are the daemon's own. */
  async #files(): Promise<string[]> {
    const own = await readdir(this.#place.state, { recursive: true, withFileTypes: true });
    const cached = await readdir(join(this.#place.root, 'c'), {
      recursive: true,
      withFileTypes: true,
    }).catch(absent);
    const paths = [
      ...own.filter(({ parentPath }) => parentPath !== this.#place.state),
      ...(cached ?? []),
    ]
      .map(({ parentPath, name }) => join(parentPath, name).slice(this.#place.root.length + 1))
      .filter((path) => !/^s\/backups\/|\.(?:log|lock)$/.test(path));
    // The uplink's is kept from VM to VM, and made anew with a new token: they are counted.
    const rules = paths.filter((path) => path.startsWith('s/nat/rules-'));
    return [
      ...paths.filter((path) => !rules.includes(path)),
      ...rules.map((_, index) => `s/nat/rules-* (${String(index + 1)})`),
    ];
  }

  /** Goes on with a broken copy of the product: the cleanup of that capability does nothing. @returns what mends it again */
  async sabotage(capability: string): Promise<() => Promise<void>> {
    const product = join(this.#place.root, 'p');
    const whole = this.#place;
    await cp(whole.daemon.product, product, { recursive: true, verbatimSymlinks: true });
    const path = join(product, 'dist', 'daemon.cjs');
    const code = await readFile(path, 'utf8');
    // The bundler numbers names that it has twice.
    const call = /await teardown\.cleanup\((claim\d*), member\.host\);/g;
    if (code.match(call)?.length !== 1) throw new Error(`not once in ${path}: ${call.source}`);
    const skip = `if ($1.capability !== ${JSON.stringify(capability)}) $&`;
    await this.stop();
    await writeFile(path, code.replace(call, skip));
    this.#place = { ...whole, daemon: { ...whole.daemon, product } };
    return async () => {
      await this.stop();
      this.#place = whole;
    };
  }

  /** Whatever a failed case has left goes, so that it disturbs no other. */
  async dispose(): Promise<void> {
    await this.#disarm();
    await writeFile(join(this.#place.control, 'shims', '.go'), '');
    this.#daemon?.kill();
    await this.#daemon?.ended;
    this.#daemon = undefined;
    if ((await this.#left()).length > 0) {
      const daemon = await this.daemon();
      await daemon.operate('DELETE', '/v1/vms/v?force=true').catch((error: unknown) => error);
      await daemon.fixLeaks();
      await this.stop();
    }
    const left = await this.#left();
    endProcesses(left);
    await removePlace(this.#place);
    if (left.length > 0) throw new Error(`left on the host:\n${left.join('\n')}`);
  }
}

const absent = (error: unknown): undefined => {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
};
