import { readFileSync, writeFileSync } from 'node:fs';
import type { components } from '../../../capabilities/firecracker/api/types.ts';
import { Fault } from './fault.ts';
import type { Machine } from './guest.ts';

type Schemas = components['schemas'];

const format = 'the double of Firecracker: a snapshot';

/** In the place of Firecracker's own state: what the machine is made of. Logs are not in it. */
interface State {
  readonly format: string;
  readonly config: Machine['config'];
  readonly drives: readonly Schemas['Drive'][];
  readonly nics: readonly Schemas['NetworkInterface'][];
  readonly vsock?: Schemas['Vsock'];
  readonly entropy?: Schemas['EntropyDevice'];
  readonly balloon?: Schemas['Balloon'];
}

export const writeState = (path: string, machine: Machine): void => {
  const { config, drives, nics, vsock, entropy, balloon } = machine;
  const state: State = {
    format,
    config,
    drives: [...drives.values()],
    nics: [...nics.values()],
    ...(vsock === undefined ? {} : { vsock }),
    ...(entropy === undefined ? {} : { entropy }),
    ...(balloon === undefined ? {} : { balloon }),
  };
  writeFileSync(path, JSON.stringify(state));
};

const unreadable = (why: unknown): Fault =>
  new Fault(
    `Load snapshot error: Failed to restore from snapshot: Failed to get snapshot state from file: ${String(why)}`,
  );

const readState = (path: string): State => {
  let state: State;
  try {
    state = JSON.parse(readFileSync(path, 'utf8')) as State;
  } catch (error) {
    throw unreadable(error);
  }
  if (state.format !== format) throw unreadable('Snapshot file is of another format');
  return state;
};

/**
 * The machine of a snapshot, with what the call overrides: restore_from_snapshot() of persist.rs.
 * @throws Fault
 */
export const loadState = (params: Schemas['SnapshotLoadParams']): Machine => {
  const { config, drives, nics, vsock, entropy, balloon } = readState(params.snapshot_path);
  const machine: Machine = {
    config,
    drives: new Map(drives.map((drive) => [drive.drive_id, drive])),
    nics: new Map(nics.map((nic) => [nic.iface_id, nic])),
    ...(vsock === undefined ? {} : { vsock }),
    ...(entropy === undefined ? {} : { entropy }),
    ...(balloon === undefined ? {} : { balloon }),
  };
  for (const { iface_id: id, host_dev_name } of params.network_overrides ?? []) {
    const nic = machine.nics.get(id);
    if (nic === undefined) throw unreadable('Unknown Network Device.');
    machine.nics.set(id, { ...nic, host_dev_name });
  }
  if (params.vsock_override !== undefined) {
    if (machine.vsock === undefined) throw unreadable('Unknown Vsock Device.');
    machine.vsock = { ...machine.vsock, ...params.vsock_override };
  }
  return machine;
};
