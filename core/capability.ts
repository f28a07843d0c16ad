import type { z } from 'zod';
import type { Claim, Claims, Found, IdentityCodec, Reconciled } from './claim.ts';
import type { Host, Instance } from './host/host.ts';
import type { Executor } from './host/executor.ts';
import type { Logger } from './log/logger.ts';
import type { OperationContext, StartOperation, VmOperation } from './operation/context.ts';
import type { VmRecord, VmSpec } from './vm/record.ts';
import type { VmmDriver } from './vmm/driver.ts';

/** Something one capability offers to others. Same id, same service. */
export interface ServiceRef<T> {
  readonly id: string;
  /** Never set: carries the type. */
  readonly type?: T;
}

export const serviceRef = <T>(id: string): ServiceRef<T> => ({ id });

export interface Provided {
  readonly ref: ServiceRef<unknown>;
  readonly service: unknown;
}

export const provide = <T>(ref: ServiceRef<T>, service: T): Provided => ({ ref, service });

export type Refs = Readonly<Record<string, ServiceRef<unknown>>>;
type ServiceOf<R> = R extends ServiceRef<infer T> ? T : never;
export type Needed<N extends Refs> = { readonly [K in keyof N]: ServiceOf<N[K]> };
export type Wanted<W extends Refs> = { readonly [K in keyof W]: ServiceOf<W[K]> | undefined };

/** A step in the guest, as data: core runs and records it through the agent. */
export type ProvisionStep = {
  /** Unique within the capability, stable across starts. */
  readonly id: string;
  readonly summary: string;
  /** `once` per root disk, or at each `start`. */
  readonly when: 'once' | 'start';
  /** Its failure takes back a create: the VM is not kept. Later starts leave it up, `unprovisioned`, as for any step. */
  readonly required?: boolean;
} & (
  | {
      readonly kind: 'file';
      /** Absolute, in the guest. */
      readonly path: string;
      readonly content: string | Uint8Array;
      /** Default 0o644; owner 0:0. */
      readonly mode?: number;
    }
  | {
      readonly kind: 'script';
      /** Run with /bin/sh -eu as root, in /root. */
      readonly script: string;
      /** Milliseconds; default 300,000. */
      readonly timeoutMs?: number;
    }
  | {
      /** Grows the file system that is mounted there to its disk. */
      readonly kind: 'grow';
      readonly path: string;
      /** What the disk has by now. */
      readonly bytes: number;
    }
  | {
      /** A file or folder of the host's; symlinks below it go as symlinks. Owner 0:0. */
      readonly kind: 'tree';
      /** Absolute, on the host. */
      readonly source: string;
      /** Absolute, in the guest. What is there is overwritten, file by file; other files in a folder stay. */
      readonly path: string;
      /** Of a single file; absent: its own, as those in a folder have. */
      readonly fileMode?: number;
    }
  /** Nothing is done: the summary is shown to whoever starts the VM. */
  | { readonly kind: 'notice' }
);

/** A step that does something. */
export type WorkStep = Exclude<ProvisionStep, { readonly kind: 'notice' }>;

/** A field of the record that takes effect on a running VM, once the step in its guest is through. */
export interface Change {
  readonly field: keyof VmSpec;
  readonly step?: WorkStep;
}

export interface DoctorCheck {
  readonly id: string;
  readonly title: string;
  readonly status: 'ok' | 'warning' | 'error';
  readonly detail: string;
  readonly remedy?: string;
}

/** An action becomes `POST /v1/x/<capability>/<name>`, and `banger x <capability> <name>`. */
export interface Action<In, Out> {
  readonly summary: string;
  readonly input: z.ZodType<In>;
  readonly output: z.ZodType<Out>;
  /** `call` answers at once; `operation` answers 202 and goes on. */
  readonly mode: 'call' | 'operation';
  /** It only looks at the VM that `input.vm` names; others are a use of it (docs/idle.md). */
  readonly onlyLooks?: boolean;
  run(input: In, operation: OperationContext): Promise<Out>;
}

export interface ErasedAction {
  readonly summary: string;
  readonly input: z.ZodType;
  readonly output: z.ZodType;
  readonly mode: 'call' | 'operation';
  readonly onlyLooks: boolean;
  run(input: unknown, operation: OperationContext): Promise<unknown>;
}

/** Keeps input, output and run of one action in step. */
export const defineAction = <In, Out>(action: Action<In, Out>): ErasedAction => ({
  summary: action.summary,
  input: action.input,
  output: action.output,
  mode: action.mode,
  onlyLooks: action.onlyLooks ?? false,
  run: async (input, operation) =>
    action.output.parse(await action.run(action.input.parse(input), operation)),
});

/** What the deletion of a VM would lose. */
export interface Loss {
  /** One line, after the VM's name: `has changes in /root/repo that …`. */
  readonly what: string;
  /** How to save it. */
  readonly remedy: string;
}

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type Description = Readonly<Record<string, Json>>;

/**
 * The hooks of a VM's life, in the order in which core calls them. Within one hook the order is that
 * of `after`/`before`, reversed for preStop.
 */
export interface Handlers<I = unknown, O = unknown> {
  readonly provides?: readonly Provided[];
  /** Where this capability is a VMM driver. */
  readonly vmm?: VmmDriver<I, O>;
  /** Before anything is taken: is there all that this capability needs? Throws if not. */
  preflight?(operation: StartOperation): Promise<void>;
  preStart?(operation: StartOperation, claims: Claims<I, O>): Promise<void>;
  /** The VMM runs. A failure unwinds the start. */
  postStart?(operation: StartOperation, claims: Claims<I, O>): Promise<void>;
  /** Steps in the guest, after the VM is `running`. */
  provision?(vm: VmRecord): Promise<readonly ProvisionStep[]>;
  /** Best effort, skipped for a dead guest. */
  preStop?(operation: VmOperation, claims: Claims<I, O>): Promise<void>;
  /** After the daemon's restart, for a VM that was adopted. */
  resume?(operation: VmOperation, claims: Claims<I, O>): Promise<void>;
  /**
   * `vm set` on a running VM; `operation.vm` is the record as it is to be.
   * @param from what the run has now
   * @returns what takes effect now; what no capability returns waits for the next start
   */
  change?(operation: VmOperation, from: VmSpec, claims: Claims<I, O>): Promise<readonly Change[]>;
  /** The VMM is gone: by itself, or at the end of a stop or of a failed start. The unwind follows. */
  exited?(operation: VmOperation, claims: Claims<I, O>): Promise<void>;
  /**
   * Before a VM is deleted, unless by force: what would be lost with it. A failure keeps the VM as well.
   */
  preDelete?(vm: VmRecord): Promise<Loss | undefined>;
  readonly actions?: Readonly<Record<string, ErasedAction>>;
  doctor?(): Promise<readonly DoctorCheck[]>;
  /** What this capability knows of a VM, for `vm show`. */
  describe?(vm: VmRecord): Promise<Description>;
}

/** Needs the claim and the host and nothing else: works while the capability is disabled. */
export interface Teardown<I, O> {
  /** Idempotent; absent is done; proves ownership first; EPERM is a failure, never "absent". */
  cleanup(claim: Claim<I, O>, host: Host): Promise<void>;
  reconcile(claim: Claim<I, O>, host: Host): Promise<Reconciled>;
  /** All that carries our instance's token on the host; what stands on another thing comes before it. */
  scan(host: Host): Promise<readonly Found<I>[]>;
  /** False for a claim that is nothing but its row, such as a lease; absent: each has an object. */
  hasObject?(identity: I): boolean;
}

export interface CapabilityEnv<C, I, O, N extends Refs, W extends Refs> {
  /** Validated settings of `[<id>]` in config.toml. */
  readonly config: C;
  readonly services: Needed<N> & Wanted<W>;
  /** For host and store claims; hooks get claims that are bound to their VM. */
  readonly claims: Claims<I, O>;
  /**
   * Claims that are bound to a VM, for actions: the VM's stop or delete undoes them. As no unwind follows an
   * action, an allocation that fails is undone at once.
   */
  claimsOf(vm: { readonly id: string }, signal: AbortSignal): Claims<I, O>;
  readonly exec: Executor;
  readonly instance: Instance;
  /** This capability's folder under the state directory; it exists. */
  readonly directory: string;
  /** Its folder under the configuration directory (keys and such); not made until it is needed. */
  readonly configDirectory: string;
  /** Its folder in the user's cache, shared by all daemons of the user; may be wiped at any time. */
  readonly cacheDirectory: string;
  readonly log: Logger;
}

export interface CapabilitySpec<C, I, O, N extends Refs, W extends Refs> {
  /** kebab-case; also its folder and its config table. */
  readonly id: string;
  readonly summary: string;
  /** Ids that must come earlier, if they are installed and switched on. */
  readonly after?: readonly string[];
  readonly before?: readonly string[];
  /** May be switched off in `[capabilities]`. Plugins always may. */
  readonly optional?: boolean;
  /** The stage that a start shows while this capability's postStart, or else its preStart, works. */
  readonly stage?: string;
  readonly config: z.ZodType<C>;
  /**
   * The key of its settings in config.toml where that is not the id: with a list as schema, `[[key]]`. Where the file has
   * no such key the schema gets undefined.
   */
  readonly configKey?: string;
  readonly identity?: IdentityCodec<I, O>;
  readonly teardown?: Teardown<I, O>;
  readonly needs?: N;
  readonly wants?: W;
  /** Runs only when enabled. */
  setup(env: CapabilityEnv<C, I, O, N, W>): Handlers<I, O> | Promise<Handlers<I, O>>;
}

/** A capability with its type parameters erased, as core handles it. */
export interface Capability {
  readonly id: string;
  readonly summary: string;
  readonly after: readonly string[];
  readonly before: readonly string[];
  readonly optional: boolean;
  readonly stage: string | undefined;
  readonly config: z.ZodType;
  readonly configKey: string;
  readonly identity: IdentityCodec<unknown, unknown> | undefined;
  readonly teardown: Teardown<unknown, unknown> | undefined;
  readonly needs: Refs;
  readonly wants: Refs;
  setup(env: CapabilityEnv<unknown, unknown, unknown, Refs, Refs>): Promise<Handlers>;
}

export function defineCapability<
  C,
  I = never,
  O = never,
  const N extends Refs = Record<never, never>,
  const W extends Refs = Record<never, never>,
>(spec: CapabilitySpec<C, I, O, N, W>): Capability {
  // The one place where the type parameters are erased. It is sound because core hands back only what
  // the spec's own schemas parsed and what the refs' own providers gave.
  return {
    id: spec.id,
    summary: spec.summary,
    after: spec.after ?? [],
    before: spec.before ?? [],
    optional: spec.optional ?? false,
    stage: spec.stage,
    config: spec.config,
    configKey: spec.configKey ?? spec.id,
    identity: spec.identity,
    teardown: spec.teardown,
    needs: spec.needs ?? {},
    wants: spec.wants ?? {},
    setup: async (env) => await spec.setup(env as CapabilityEnv<C, I, O, N, W>),
  };
}
