import type { OperationContext, Progress } from '../../core/plugin-api/index.ts';

/** One build, and the operations that wait for it. */
class SharedBuild<T> {
  readonly isRebuild: boolean;
  readonly outcome: Promise<T>;
  readonly #cancel = new AbortController();
  readonly #watchers = new Set<OperationContext>();
  #last: Progress | undefined;

  constructor(
    isRebuild: boolean,
    { id, kind, log }: OperationContext,
    work: (shared: OperationContext) => Promise<T>,
  ) {
    this.isRebuild = isRebuild;
    this.outcome = work({
      id,
      kind,
      log,
      signal: this.#cancel.signal,
      progress: (progress) => {
        this.#last = progress;
        for (const watcher of this.#watchers) watcher.progress(progress);
      },
      notice: (text) => {
        for (const watcher of this.#watchers) watcher.notice(text);
      },
    });
  }

  get isCancelled(): boolean {
    return this.#cancel.signal.aborted;
  }

  async watch(operation: OperationContext): Promise<T> {
    const { signal } = operation;
    let leave = (): void => undefined;
    this.#watchers.add(operation);
    if (this.#last !== undefined) operation.progress(this.#last);
    try {
      return await new Promise<T>((resolve, reject) => {
        leave = () => {
          this.#watchers.delete(operation);
          // The last one waits until the build has cleaned up after itself.
          if (this.#watchers.size === 0) this.#cancel.abort(signal.reason);
          else reject(signal.reason);
        };
        signal.addEventListener('abort', leave, { once: true });
        this.outcome.then(resolve, reject);
      });
    } finally {
      signal.removeEventListener('abort', leave);
      this.#watchers.delete(operation);
    }
  }

  /** Its end, whatever it is. */
  settled(): Promise<void> {
    return this.outcome.then(
      () => undefined,
      () => undefined,
    );
  }
}

/**
 * One build per name for all who want it at the same time. All see its progress; who cancels leaves it to
 * the others, and the last to leave ends it.
 */
export class SharedBuilds<T> {
  readonly #builds = new Map<string, SharedBuild<T>>();

  /** @param work gets an operation that stands for all that wait */
  async join(
    name: string,
    isRebuild: boolean,
    operation: OperationContext,
    work: (shared: OperationContext) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      operation.signal.throwIfAborted();
      const running = this.#builds.get(name);
      if (running === undefined) break;
      const serves = !running.isCancelled && (running.isRebuild || !isRebuild);
      if (serves) return running.watch(operation);
      // Nobody wants that one any more, or it began before newer packages were asked for.
      await running.settled();
    }
    const build = new SharedBuild(isRebuild, operation, work);
    this.#builds.set(name, build);
    void build.settled().then(() => {
      if (this.#builds.get(name) === build) this.#builds.delete(name);
    });
    return build.watch(operation);
  }
}
