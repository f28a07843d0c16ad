import { setTimeout as delay } from 'node:timers/promises';
import {
  deadlineSignal,
  messageOf,
  type GuestStats,
  type Logger,
  type VmStats,
} from '../../core/plugin-api/index.ts';
import { figuresOf, isUsed, type Sample } from './figures.ts';
import type { HostFigures } from './host-figures.ts';

export interface WatchedVm {
  readonly id: string;
  readonly name: string;
}

export interface PollerOptions {
  readonly intervalMs: number;
  readonly log: Logger;
  /** False of one that is paused, or not through its start: there is nobody to ask. */
  isRunning(vm: WatchedVm): boolean;
  lookInside(vm: WatchedVm, signal: AbortSignal): Promise<GuestStats>;
  lookOutside(vm: WatchedVm): Promise<HostFigures | undefined>;
  /** Called after each look that the poller itself has taken. */
  onLook(vm: WatchedVm, isUsed: boolean): void;
}

interface Watch {
  readonly vm: WatchedVm;
  readonly ended: AbortController;
  last: Sample | undefined;
  figures: VmStats | undefined;
  look: Promise<VmStats> | undefined;
}

/** How long a guest may take over an answer, milliseconds: an emulated one that is busy is slow. */
const answerMs = 5_000;
/** A VM that has just started has other things to do, milliseconds. */
const firstLookMs = 1_000;
/** A guest that does not answer is asked less and less often, up to this pause, milliseconds. */
const longestPauseMs = 300_000;

/** The pause before the next look, after so many that failed in a row. */
export const pauseAfter = (failures: number, intervalMs: number): number =>
  Math.min(intervalMs * 2 ** Math.min(failures, 16), Math.max(intervalMs, longestPauseMs));

/** Looks at each running VM again and again, and remembers what it saw last. What does not run costs nothing. */
export class Poller {
  readonly #options: PollerOptions;
  readonly #watches = new Map<string, Watch>();

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  add(vm: WatchedVm): void {
    this.remove(vm);
    const watch: Watch = {
      vm,
      ended: new AbortController(),
      last: undefined,
      figures: undefined,
      look: undefined,
    };
    this.#watches.set(vm.id, watch);
    void this.#run(watch);
  }

  remove({ id }: { readonly id: string }): void {
    this.#watches.get(id)?.ended.abort();
    this.#watches.delete(id);
  }

  vms(): readonly WatchedVm[] {
    return [...this.#watches.values()].map(({ vm }) => vm);
  }

  latest({ id }: { readonly id: string }): VmStats | undefined {
    return this.#watches.get(id)?.figures;
  }

  /**
   * Fresh figures; whoever asks while a look is under way gets that one's.
   * @returns undefined for a VM that is not watched
   */
  now({ id }: { readonly id: string }): Promise<VmStats> | undefined {
    const watch = this.#watches.get(id);
    return watch === undefined ? undefined : this.#look(watch);
  }

  #look(watch: Watch): Promise<VmStats> {
    watch.look ??= this.#take(watch).finally(() => {
      watch.look = undefined;
    });
    return watch.look;
  }

  async #take(watch: Watch): Promise<VmStats> {
    const { lookInside, lookOutside } = this.#options;
    const signal = deadlineSignal(answerMs, watch.ended.signal);
    const guest = await lookInside(watch.vm, signal);
    const host = await lookOutside(watch.vm);
    const sample: Sample = { at: Date.now(), clockMs: performance.now(), guest, host };
    watch.figures = figuresOf(watch.last, sample);
    watch.last = sample;
    return watch.figures;
  }

  /** One after the other, so that no VM is ever asked twice at once. Never rejects. */
  async #run(watch: Watch): Promise<void> {
    const { intervalMs, log, onLook } = this.#options;
    const { signal } = watch.ended;
    let failures = 0;
    let before: Sample | undefined;
    let pause = Math.min(intervalMs, firstLookMs);
    for (;;) {
      const isOver = await delay(pause, false, { signal, ref: false }).catch(() => true);
      if (isOver) return;
      if (!this.#options.isRunning(watch.vm)) {
        // What it did before it was paused says nothing of what it does after.
        before = watch.last = watch.figures = undefined;
        pause = intervalMs;
        continue;
      }
      try {
        await this.#look(watch);
        if (signal.aborted) return;
        failures = 0;
        // Against its own last look: one that somebody has asked for just now may span too short a time.
        if (watch.last !== undefined) onLook(watch.vm, isUsed(before, watch.last));
        before = watch.last;
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        // What was true once says nothing about a guest that is silent.
        watch.figures = undefined;
        if (failures === 1)
          log.info({ vm: watch.vm.name, error: messageOf(error) }, 'a guest tells no figures');
      }
      pause = pauseAfter(failures, intervalMs);
    }
  }
}
