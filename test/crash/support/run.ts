import type { CrashAction } from './actions.ts';
import {
  describePoint,
  failures,
  isCommand,
  killPhases,
  type KillPhase,
  type Point,
} from './points.ts';
import type { CrashWorldOptions } from './place.ts';
import { CrashWorld } from './world.ts';

export interface CrashCounts {
  kills: number;
  failures: number;
  /** What was left, by the point after which it was. */
  readonly leaks: string[];
}

/** One case: prepared, acted, looked at, gone on from, and looked at again. */
interface Case {
  readonly name: string;
  /** The operation may end in an error that says what is left. */
  readonly mayFail?: boolean;
  /** @returns false where the point did not come */
  run(world: CrashWorld): Promise<boolean>;
}

export interface CrashRunOptions extends CrashWorldOptions {
  /** A VM that is there after a case is the next one's as well; `endOf` deletes it, and finds what is left. */
  readonly keepsVm?: boolean;
}

/** A world is used as long as it stays clean: what one case has left would be counted by the next as well. */
export class CrashRun {
  readonly #options: CrashRunOptions;
  readonly counts: CrashCounts = { kills: 0, failures: 0, leaks: [] };
  readonly #points = new Map<string, readonly Point[]>();
  #world: CrashWorld | undefined;
  #isWarm = false;

  constructor(options: CrashRunOptions) {
    this.#options = options;
  }

  async #clean(): Promise<CrashWorld> {
    this.#world ??= await CrashWorld.create(this.#options);
    return this.#world;
  }

  /** The points of an action, found by counting, without those that the other one which it names has as well. */
  async points(action: CrashAction): Promise<Point[]> {
    const all = await this.#record(action);
    this.#points.set(action.name, all);
    const elsewhere = this.#points.get(action.beyond ?? '') ?? [];
    return all.filter(
      ({ name, nth }) => !elsewhere.some((other) => other.name === name && other.nth === nth),
    );
  }

  async #record(action: CrashAction): Promise<Point[]> {
    const world = await this.#clean();
    await this.#prepare(world, action);
    const points = await world.record(async (daemon) => {
      await action.act(daemon);
    });
    await this.#settle(world, `${action.name}, not killed`, action);
    return points;
  }

  async killAt(
    action: CrashAction,
    point: Point,
    phases: readonly KillPhase[] = killPhases,
  ): Promise<void> {
    for (const phase of phases) {
      await this.#run(action, {
        name: `${action.name}: killed ${phase} ${describePoint(point)}`,
        run: (world) => world.kill(action.act, point, phase),
      });
      this.counts.kills++;
    }
  }

  async failAt(action: CrashAction, point: Point): Promise<void> {
    if (!isCommand(point)) return;
    for (const how of failures) {
      await this.#run(action, {
        name: `${action.name}: ${describePoint(point)} fails (${how})`,
        mayFail: true,
        run: (world) => world.fail(action.act, point, how),
      });
      this.counts.failures++;
    }
  }

  /** Has to come after the cases of an action. */
  async endOf(action: CrashAction): Promise<void> {
    if (this.#world === undefined) return;
    await this.#note(`${action.name}: at the end`, await this.#world.finish(action.goOn));
  }

  async #run(action: CrashAction, each: Case): Promise<void> {
    const world = await this.#clean();
    try {
      await this.#prepare(world, action);
      if (!(await each.run(world))) this.counts.leaks.push(`${each.name}: the point did not come`);
      // What a failed operation could not undo is to go with the VM.
      const keepsVm = this.#options.keepsVm === true && action.leavesVm === true && !each.mayFail;
      if (keepsVm) await this.#note(each.name, await world.problems());
      else await this.#settle(world, each.name, action, each.mayFail);
    } catch (error) {
      this.counts.leaks.push(
        `${each.name}: ${error instanceof Error ? error.message : String(error)}`,
      );
      await this.dispose();
    }
  }

  async #prepare(world: CrashWorld, action: CrashAction): Promise<void> {
    if (action.fresh) {
      await this.#stop(world);
    }
    await action.prepare(await world.daemon(), this.#isWarm);
    this.#isWarm = true;
  }

  async #stop(world: CrashWorld): Promise<string[]> {
    this.#isWarm = false;
    return world.stop();
  }

  async #settle(
    world: CrashWorld,
    name: string,
    action: CrashAction,
    mayFail = false,
  ): Promise<void> {
    const left = [
      ...(await world.problems(mayFail)),
      ...(await world.finish(action.goOn)),
      ...(action.fresh ? await this.#stop(world) : []),
    ];
    await this.#note(name, left);
  }

  async #note(name: string, left: readonly string[]): Promise<void> {
    if (left.length === 0) return;
    this.counts.leaks.push(...left.map((line) => `${name}: ${line}`));
    await this.dispose();
  }

  async dispose(): Promise<void> {
    const world = this.#world;
    this.#world = undefined;
    this.#isWarm = false;
    await world?.dispose();
  }
}
