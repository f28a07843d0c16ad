import { serviceRef } from '../../capability.ts';

/** The ways into a guest that its VMM offers. Core provides it, from the driver's handle. */
export interface Channels {
  /** Paths of unix sockets, one agent session each; none where the VM does not run. */
  agentSockets(vm: { readonly id: string }): readonly string[];
}

export const ChannelsRef = serviceRef<Channels>('channels');
