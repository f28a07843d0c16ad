import { serviceRef } from '../../capability.ts';

export interface VmAddress {
  /** IPv4, without prefix length. */
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly bridge: string;
}

export interface Addresses {
  /** The lease of that VM, or undefined where it has none. */
  of(vm: { readonly id: string }): VmAddress | undefined;
}

export const AddressesRef = serviceRef<Addresses>('addresses');
