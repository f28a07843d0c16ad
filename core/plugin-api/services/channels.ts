import { serviceRef } from '../../capability.ts';
import type { AgentChannel } from '../../vmm/machine-spec.ts';

/** The ways into a guest that its VMM offers. Core provides it, from the driver's handle. */
export interface Channels {
  /** Undefined where the VM does not run. */
  agent(vm: { readonly id: string }): AgentChannel | undefined;
}

export const ChannelsRef = serviceRef<Channels>('channels');
