import { appendFileSync, accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import type { components } from '../../../capabilities/firecracker/api/types.ts';
import { bodyFault, findCall } from './document.ts';
import { FatalFault, Fault } from './fault.ts';
import type { Guest, Machine } from './guest.ts';
import type { Answer, Request } from './http.ts';
import { loadState, writeState } from './snapshot.ts';

/** What of the host the API does besides: the guest and its vsock. */
export interface Backend {
  /** @param from where its memory is: of one that goes on */
  boot(machine: Machine, from?: string): Promise<Guest>;
  /** Of the process, by a failure. */
  end(): void;
  listenVsock(path: string): Promise<void>;
}

/** Their state: instance_info.rs. */
type Phase = 'Not started' | 'Running' | 'Paused';

/** rpc_interface.rs: what is only done before the start, and only after it. */
const beforeStart =
  /^(PUT \/(boot-source|logger|metrics|serial|cpu-config|balloon|vsock|mmds\/config|entropy|hotplug\/memory|snapshot\/load|machine-config)|PATCH \/machine-config)$/;
const afterStart =
  /^(PATCH \/(vm|drives\/.*|network-interfaces\/.*|balloon.*|hotplug\/memory|pmem\/.*)|PUT \/snapshot\/create|GET \/balloon\/(statistics|hinting\/status))$/;

/** rpc_interface.rs: what does not keep a snapshot from being loaded. */
const logging = /^PUT \/(logger|metrics|serial)$/;

/** CHANGELOG.md: the minor of 1 that has had them first. */
const since = { serial: 14, network_overrides: 12, vsock_override: 16 } as const;

interface Facts {
  readonly id: string;
  readonly version: string;
  /** Of version 1; of a later one a large number. */
  readonly minor: number;
}

type LoadParams = components['schemas']['SnapshotLoadParams'];

const postBoot = 'The requested operation is not supported after starting the microVM.';
const preBoot = 'The requested operation is not supported before starting the microVM.';

/** A path that is opened at the call, not at the start. */
const assertReadable = (path: string | undefined, fault: string): void => {
  try {
    accessSync(path ?? '', constants.R_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' ? 'No such file or directory (os error 2)' : `Permission denied (${code})`;
    throw new Fault(`${fault}${why}`);
  }
};

/** A tap has a carrier while somebody has it open. */
const assertFreeTap = (tap: string): void => {
  const folder = `/sys/class/net/${tap}`;
  const fault = 'Network config error: Cannot open/create the tap device: ';
  if (!existsSync(`${folder}/tun_flags`))
    throw new Fault(
      `${fault}Error while creating ifreq structure: Operation not permitted (os error 1). Invalid TUN/TAP Backend provided by ${tap}. Check our documentation on setting up the network devices.`,
    );
  const isUp = (Number(readFileSync(`${folder}/flags`, 'utf8')) & 1) === 1;
  if (isUp && readFileSync(`${folder}/carrier`, 'utf8').trim() === '1')
    throw new Fault(
      `${fault}Error while creating ifreq structure: Device or resource busy (os error 16). Invalid TUN/TAP Backend provided by ${tap}. Check our documentation on setting up the network devices.`,
    );
};

/** checked_id() of parsed_request.rs. */
const assertId = (id: string): void => {
  if (!/^\w+$/.test(id))
    throw new Fault('API Resource IDs can only contain alphanumeric characters and underscores.');
};

export class Api {
  readonly #backend: Backend;
  readonly #facts: Facts;
  #machine: Machine = {
    // DEFAULT_MEM_SIZE_MIB of machine_config.rs.
    config: { vcpu_count: 1, mem_size_mib: 128 },
    drives: new Map(),
    nics: new Map(),
  };
  #phase: Phase = 'Not started';
  #guest: Guest | undefined;
  /** As `boot_path` of rpc_interface.rs: told of something that a snapshot would have. */
  #isConfigured = false;

  constructor(facts: Facts, backend: Backend) {
    this.#facts = facts;
    this.#backend = backend;
  }

  async serve({ method, path, body }: Request): Promise<Answer> {
    try {
      const value = await this.#do(method, path, body);
      return value === undefined ? { status: 204 } : { status: 200, body: JSON.stringify(value) };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const answer: Answer = {
        status: 400,
        body: JSON.stringify({ fault_message: error.message }),
      };
      return error instanceof FatalFault ? { ...answer, after: this.#backend.end } : answer;
    }
  }

  /** Names of the guest's ports that are open, none before the start. */
  openPorts(): readonly string[] {
    return this.#phase === 'Running' ? (this.#guest?.openPorts() ?? []) : [];
  }

  async #do(method: string, path: string, text: string | undefined): Promise<unknown> {
    // Before its release there was no such path.
    const call =
      path === '/serial' && this.#facts.minor < since.serial ? undefined : findCall(method, path);
    if (call === undefined)
      throw new Fault(`Invalid request method and/or path: ${method} ${path.split('/')[1] ?? ''}.`);
    if (method === 'GET' && text !== undefined) throw new Fault('GET request cannot have a body.');
    if (call.id !== undefined) assertId(call.id);
    if (call.definition === null) return this.#get(call.name);
    if (text === undefined) throw new Fault(`Empty ${method} request.`);
    const body = parse(text);
    const fault = bodyFault(call.definition, body);
    if (fault !== undefined) throw new Fault(deserializing(fault));
    const named = body as { drive_id?: string; iface_id?: string };
    if (call.id !== undefined && (named.drive_id ?? named.iface_id ?? call.id) !== call.id)
      throw new Fault('The id from the path does not match the id from the body!');
    const isStarted = this.#phase !== 'Not started';
    if (isStarted && beforeStart.test(call.name)) throw new Fault(postBoot);
    if (!isStarted && !logging.test(call.name)) {
      if (call.name === 'PUT /snapshot/load') return this.#load(body as LoadParams);
      this.#isConfigured = true;
    }
    if (!isStarted && afterStart.test(call.name)) throw new Fault(preBoot);
    return this.#put(call.name, body);
  }

  #get(name: string): unknown {
    const { config, boot, drives, nics, vsock, entropy, balloon } = this.#machine;
    const { id, version } = this.#facts;
    switch (name) {
      case 'GET /':
        return { id, state: this.#phase, vmm_version: version, app_name: 'Firecracker' };
      case 'GET /version':
        return { firecracker_version: version };
      case 'GET /machine-config':
        return config;
      case 'GET /vm/config':
        return {
          'boot-source': boot,
          'machine-config': config,
          drives: [...drives.values()],
          'network-interfaces': [...nics.values()],
          vsock,
          entropy,
          balloon,
        };
      default:
        throw new Fault(`The double does not do ${name}.`);
    }
  }

  async #put(name: string, body: unknown): Promise<void> {
    const machine = this.#machine;
    switch (name) {
      case 'PUT /machine-config':
        machine.config = body as Machine['config'];
        return;
      case 'PUT /serial':
        machine.serial = body as NonNullable<Machine['serial']>;
        return;
      case 'PUT /metrics':
        machine.metrics = body as NonNullable<Machine['metrics']>;
        return;
      case 'PUT /entropy':
        machine.entropy = body as NonNullable<Machine['entropy']>;
        return;
      case 'PUT /balloon':
        machine.balloon = body as NonNullable<Machine['balloon']>;
        return;
      case 'PUT /boot-source': {
        const boot = body as NonNullable<Machine['boot']>;
        const fault = 'Boot source error: The ';
        assertReadable(boot.kernel_image_path, `${fault}kernel file cannot be opened: `);
        if (boot.initrd_path !== undefined)
          assertReadable(
            boot.initrd_path,
            `${fault}initrd file cannot be opened due to invalid path or invalid permissions. `,
          );
        machine.boot = boot;
        return;
      }
      case 'PUT /vsock': {
        const vsock = body as NonNullable<Machine['vsock']>;
        await this.#backend.listenVsock(vsock.uds_path);
        machine.vsock = vsock;
        return;
      }
      case 'PUT /drives/{drive_id}': {
        const drive = body as Parameters<Machine['drives']['set']>[1];
        this.#assertDrivePath(drive.path_on_host);
        if (this.#phase !== 'Not started') throw new Fault('PCI is not enabled');
        machine.drives.set(drive.drive_id, drive);
        return;
      }
      case 'PATCH /drives/{drive_id}': {
        const patch = body as { readonly drive_id: string; readonly path_on_host?: string };
        const drive = machine.drives.get(patch.drive_id);
        if (drive === undefined)
          throw new Fault(
            'Drive config error: Unable to patch the block device: Device not found Please verify the request arguments.',
          );
        const path = patch.path_on_host ?? drive.path_on_host ?? '';
        this.#assertDrivePath(path);
        machine.drives.set(patch.drive_id, { ...drive, path_on_host: path });
        const size = statSync(path).size;
        await this.#guest?.execute('block_resize', { device: patch.drive_id, size });
        return;
      }
      case 'PUT /network-interfaces/{iface_id}': {
        const nic = body as Parameters<Machine['nics']['set']>[1];
        assertFreeTap(nic.host_dev_name);
        if (this.#phase !== 'Not started') throw new Fault('PCI is not enabled');
        machine.nics.set(nic.iface_id, nic);
        return;
      }
      case 'PATCH /vm': {
        const { state } = body as { readonly state: 'Paused' | 'Resumed' };
        await this.#guest?.execute(state === 'Paused' ? 'stop' : 'cont');
        this.#phase = state === 'Paused' ? 'Paused' : 'Running';
        return;
      }
      case 'PUT /snapshot/create': {
        const params = body as components['schemas']['SnapshotCreateParams'];
        if (this.#phase !== 'Paused')
          throw new Fault(
            'Create snapshot error: Cannot save the microVM state: Operation not allowed: save/restore unavailable while running',
          );
        if (params.snapshot_type === 'Diff')
          throw new Fault('The double does no incremental snapshots.');
        writeState(params.snapshot_path, machine);
        await this.#guest?.save(params.mem_file_path);
        return;
      }
      case 'PUT /actions':
        await this.#act((body as { readonly action_type: string }).action_type);
        return;
      default:
        throw new Fault(`The double does not do ${name}.`);
    }
  }

  async #load(params: LoadParams): Promise<void> {
    for (const [field, minor] of Object.entries(since))
      if (field in params && this.#facts.minor < minor)
        throw new Fault(deserializing(`unknown field \`${field}\``));
    const { mem_backend: memory, mem_file_path: file } = params;
    if ((memory === undefined) === (file === undefined))
      throw new Fault(deserializing('exactly one of `mem_backend` and `mem_file_path` is needed'));
    if (memory?.backend_type === 'Uffd')
      throw new Fault('The double has no memory by userfaultfd.');
    if (this.#isConfigured)
      throw new Fault(
        'Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources.',
      );
    try {
      const loaded = loadState(params);
      for (const drive of loaded.drives.values()) this.#assertDrivePath(drive.path_on_host);
      for (const nic of loaded.nics.values()) assertFreeTap(nic.host_dev_name);
      if (loaded.vsock !== undefined) await this.#backend.listenVsock(loaded.vsock.uds_path);
      const { serial, metrics } = this.#machine;
      this.#machine = { ...loaded, ...(serial && { serial }), ...(metrics && { metrics }) };
      this.#guest = await this.#backend.boot(this.#machine, memory?.backend_path ?? file);
      if (params.resume_vm === true) await this.#guest.execute('cont');
    } catch (error) {
      throw new FatalFault(error instanceof Error ? error.message : String(error));
    }
    this.#phase = params.resume_vm === true ? 'Running' : 'Paused';
    this.#flushMetrics();
  }

  async #act(action: string): Promise<void> {
    const isStarted = this.#phase !== 'Not started';
    if (action === 'InstanceStart') {
      if (isStarted) throw new Fault(postBoot);
      if (this.#machine.boot === undefined)
        throw new Fault('Start microvm error: Cannot start microvm without kernel configuration.');
      this.#guest = await this.#backend.boot(this.#machine).catch((error: unknown) => {
        throw new Fault(`Start microvm error: ${error instanceof Error ? error.message : ''}`);
      });
      this.#phase = 'Running';
      this.#flushMetrics();
      return;
    }
    if (!isStarted) throw new Fault(preBoot);
    if (action === 'FlushMetrics') this.#flushMetrics();
    // A lean guest has no driver for the keyboard, and hears nothing; nor does a microvm's.
  }

  /** As PeriodicMetrics::start does, "straight away" (src/firecracker/src/metrics.rs): a line of JSON. */
  #flushMetrics(): void {
    const { metrics } = this.#machine;
    if (metrics === undefined) return;
    appendFileSync(metrics.metrics_path, `${JSON.stringify({ utc_timestamp_ms: Date.now() })}\n`);
  }

  #assertDrivePath(path: string | undefined): void {
    assertReadable(
      path,
      'Drive config error: Unable to create the virtio block device: Virtio backend error: Error manipulating the backing file: ',
    );
  }
}

const deserializing = (why: string): string =>
  `An error occurred when deserializing the json body of a request: ${why}.`;

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw new Fault(deserializing(error.message));
    throw error;
  }
};
