import { tracingChannel } from 'node:diagnostics_channel';
import { AsyncSeriesHook } from 'tapable';
import type { StartOperation, VmOperation } from './operation/context.ts';

/** The hooks of a VM's life. Only core taps them; capabilities hand in their handlers. */
export const createHooks = () => ({
  preStart: new AsyncSeriesHook<[StartOperation]>(['operation'], 'preStart'),
  postStart: new AsyncSeriesHook<[StartOperation]>(['operation'], 'postStart'),
  preStop: new AsyncSeriesHook<[VmOperation]>(['operation'], 'preStop'),
  resume: new AsyncSeriesHook<[VmOperation]>(['operation'], 'resume'),
  exited: new AsyncSeriesHook<[VmOperation]>(['operation'], 'exited'),
});

export type Hooks = ReturnType<typeof createHooks>;
export type HookName = keyof Hooks;

/** What a subscriber of `banger:hook` gets with each event of the tracing channel. */
export interface HookSpan {
  readonly hook: string;
  readonly capability: string;
  readonly operationId: string;
}

const channel = tracingChannel<string, HookSpan>('banger:hook');

/** One call of one capability's handler, as a span that logs, metrics and tests can read. */
export const traced = <R>(span: HookSpan, call: () => Promise<R>): Promise<R> =>
  channel.tracePromise(call, span);
