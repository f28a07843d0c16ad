import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import type {
  CreateVm,
  ExecRequest,
  Operation,
  OperationEvent,
  VmDetails,
} from '../../../../core/api/contract/types.ts';
import { BangerError, catalogue, type ErrorCode } from '../../../../core/errors.ts';
import { serveExec, type ExecState } from './fake-exec.ts';

type Unnumbered = OperationEvent extends infer E
  ? E extends unknown
    ? Omit<E, 'seq' | 'at'>
    : never
  : never;

export interface FakeOperation {
  readonly operation: Operation;
  readonly events: OperationEvent[];
  readonly emit: (event: Unnumbered) => void;
  readonly end: (state: Operation['state'], code?: ErrorCode) => void;
}

/**
 * The contract's routes over records in memory; commands of "guests" are processes of this host. Tests
 * look at what it has become.
 */
export class FakeDaemon {
  readonly vms = new Map<string, VmDetails>();
  readonly operations = new Map<string, FakeOperation>();
  readonly leases = new Set<string>();
  /** Names of VMs that are not to be deleted but by force. */
  readonly holdWork = new Set<string>();
  readonly execs: ExecState[] = [];
  /** `METHOD path`, in order. */
  readonly calls: string[] = [];
  readonly bodies: unknown[] = [];
  readonly actions = new Map<string, (input: unknown) => unknown>();
  /** What a new operation does; by default it is through at once. */
  play: (operation: FakeOperation) => void = (operation) => {
    operation.end('done');
  };
  /** How many events go out before the connection of a follower is cut, for each that comes. */
  cutAfter: number[] = [];
  resumedFrom: number[] = [];
  onStop: () => void = () => undefined;
  readonly #server: Server;
  readonly #buildId: string;
  readonly #socketPath: string;

  constructor(socketPath: string, buildId: string) {
    this.#socketPath = socketPath;
    this.#buildId = buildId;
    this.#server = createServer({ maxHeaderSize: 4 * 1024 * 1024 }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        this.#fail(response, error);
      });
    });
    this.#server.on('upgrade', (request, socket, head) => {
      this.#upgrade(request, socket, head);
    });
  }

  async listen(): Promise<void> {
    mkdirSync(dirname(this.#socketPath), { recursive: true });
    rmSync(this.#socketPath, { force: true });
    this.#server.listen(this.#socketPath);
    await once(this.#server, 'listening');
  }

  close(): void {
    for (const exec of this.execs) exec.kill();
    this.#server.close();
    this.#server.closeAllConnections();
    rmSync(this.#socketPath, { force: true });
  }

  addVm(name: string, extra: Partial<VmDetails> = {}): VmDetails {
    const vm: VmDetails = {
      id: `0199aaaa-0000-7000-8000-${String(this.vms.size).padStart(12, '0')}`,
      name,
      state: 'running',
      image: 'debian-bookworm',
      vcpus: 2,
      memoryMib: 2048,
      diskBytes: 8 * 1024 ** 3,
      nat: true,
      current: null,
      ip: '10.0.0.2',
      vmm: 'qemu',
      pid: 4242,
      createdAt: new Date().toISOString(),
      ephemeral: false,
      conditions: [],
      stats: null,
      startedAt: null,
      lastError: null,
      operationId: null,
      capabilities: {},
      logs: {},
      ...extra,
    };
    this.vms.set(name, vm);
    return vm;
  }

  begin(kind: string, vm: VmDetails | undefined, onDone: () => void = () => undefined): Operation {
    const id = `op-${String(this.operations.size + 1)}`;
    const operation: Operation = {
      id,
      kind,
      vmId: vm?.id ?? null,
      vmName: vm?.name ?? null,
      state: 'running',
      startedAt: new Date().toISOString(),
      endedAt: null,
      error: null,
      result: null,
    };
    const events: OperationEvent[] = [];
    const emit = (event: Unnumbered): void => {
      events.push({ ...event, seq: events.length + 1, at: new Date().toISOString() });
    };
    const end = (state: Operation['state'], code?: ErrorCode): void => {
      if (operation.state !== 'running') return;
      operation.state = state;
      if (code !== undefined)
        operation.error = { code, message: `it ended with ${code}`, remedy: catalogue[code] };
      if (state === 'done') onDone();
      emit({ type: 'end', operation: { ...operation } });
    };
    const fake = { operation, events, emit, end };
    this.operations.set(id, fake);
    this.play(fake);
    return operation;
  }

  #find(name: string): VmDetails {
    const vm = [...this.vms.values()].find((each) => each.name === name || each.id === name);
    if (vm === undefined) throw new BangerError('VM_UNKNOWN', `there is no VM '${name}'`);
    return vm;
  }

  #fail(response: ServerResponse, error: unknown): void {
    if (!(error instanceof BangerError)) throw error;
    this.#send(response, error.code === 'VM_UNKNOWN' ? 404 : 409, { error: error.toBody() });
  }

  #send(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  }

  #isForeign(request: IncomingMessage): boolean {
    return (
      request.headers['banger-client-build'] !== this.#buildId &&
      request.url?.startsWith('/v1/daemon') !== true
    );
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://daemon');
    const method = request.method ?? '';
    this.calls.push(`${method} ${request.url ?? ''}`);
    response.setHeader('banger-build', this.#buildId);
    if (this.#isForeign(request)) {
      this.#send(response, 421, { buildId: this.#buildId, pid: process.pid });
      return;
    }
    let text = '';
    for await (const chunk of request.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
    const body = text === '' ? {} : (JSON.parse(text) as unknown);
    if (method === 'POST') this.bodies.push(body);
    const [, , noun = '', name = '', verb = ''] = pathname.split('/').map(decodeURIComponent);
    if (noun === 'daemon') this.#daemon(response, name);
    else if (noun === 'operations') this.#operation(request, response, name, verb);
    else if (noun === 'x') this.#action(response, method, name, verb, body);
    else if (noun === 'doctor') this.#send(response, 200, this.actions.get('doctor')?.({}));
    else if (noun === 'vms' && name === '' && method === 'GET')
      this.#send(response, 200, { vms: [...this.vms.values()] });
    else if (noun === 'vms' && name === '') this.#create(response, body as CreateVm);
    else this.#vm(response, method, this.#find(name), verb, searchParams.get('force') === 'true');
  }

  #daemon(response: ServerResponse, verb: string): void {
    if (verb === 'stop') {
      response.once('finish', () => {
        this.onStop();
      });
      this.#send(response, 200, {});
      return;
    }
    this.#send(response, 200, {
      pid: process.pid,
      version: '9.9.9',
      buildId: this.#buildId,
      socket: this.#socketPath,
      uptimeSeconds: 5,
      vms: this.vms.size,
      vmsRunning: this.vms.size,
      instance: 'fake',
      configPath: '/none',
      configFound: false,
      stateDirectory: '/none',
      logPath: '/none',
      rssBytes: 1024 ** 2,
      recovery: { state: 'done', pending: [] },
      capabilities: [],
      operations: [],
    });
  }

  #create(response: ServerResponse, body: CreateVm): void {
    const name = body.name === undefined || body.name === '' ? 'eager-otter' : body.name;
    if (this.vms.has(name)) throw new BangerError('VM_EXISTS', `there is a VM '${name}' already`);
    const vm = this.addVm(name, {
      state: 'stopped',
      ephemeral: body.ephemeral ?? false,
      vcpus: body.vcpus ?? 2,
      memoryMib: body.memoryMib ?? 2048,
      diskBytes: body.diskBytes ?? 8 * 1024 ** 3,
      nat: body.nat ?? true,
      current: null,
    });
    if (body.start === false) {
      this.#send(response, 201, { vm });
      return;
    }
    const operation = this.begin('start', vm, () => {
      vm.state = 'running';
    });
    this.#send(response, 202, { vm, operation });
  }

  #vm(response: ServerResponse, method: string, vm: VmDetails, verb: string, force: boolean): void {
    if (method === 'DELETE') {
      if (vm.state === 'running' && !force)
        throw new BangerError('VM_RUNNING', `VM '${vm.name}' is running`);
      if (this.holdWork.has(vm.name) && !force)
        throw new BangerError('VM_HOLDS_WORK', `VM '${vm.name}' has changes`);
      const operation = this.begin('delete', vm, () => this.vms.delete(vm.name));
      this.#send(response, 202, { vm, operation });
    } else if (verb === '') this.#send(response, 200, vm);
    else if (verb === 'health') {
      const health = { name: vm.name, state: vm.state, agent: 'ok' };
      this.#send(response, 200, this.actions.get('health')?.(vm) ?? health);
    } else if (verb === 'lease') {
      this.leases.add(vm.name);
      response.writeHead(200).flushHeaders();
      response.once('close', () => {
        this.leases.delete(vm.name);
        this.vms.delete(vm.name);
      });
    } else {
      const wanted = verb === 'start' || verb === 'restart' ? 'running' : 'stopped';
      if (vm.state === wanted && verb !== 'restart') {
        this.#send(response, 200, { vm });
        return;
      }
      const operation = this.begin(verb, vm, () => {
        vm.state = wanted;
      });
      this.#send(response, 202, { vm, operation });
    }
  }

  #operation(request: IncomingMessage, response: ServerResponse, id: string, verb: string): void {
    const found = this.operations.get(id);
    if (found === undefined) throw new BangerError('OPERATION_UNKNOWN', `no operation ${id}`);
    if (request.method === 'DELETE') {
      found.end('cancelled');
      this.#send(response, 202, {});
    } else if (verb === '') this.#send(response, 200, found.operation);
    else this.#events(request, response, found.events);
  }

  #events(request: IncomingMessage, response: ServerResponse, events: OperationEvent[]): void {
    const from = Number(request.headers['last-event-id'] ?? 0);
    this.resumedFrom.push(from);
    const cutAfter = this.cutAfter.shift() ?? Infinity;
    let next = from;
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    const timer = setInterval(() => {
      for (const event of events.slice(next)) {
        if (next - from >= cutAfter) {
          clearInterval(timer);
          // Not before what was written is out.
          response.write(':\n', () => response.destroy());
          return;
        }
        response.write(`id: ${String(event.seq)}\ndata: ${JSON.stringify(event)}\n\n`);
        next = event.seq;
        if (event.type === 'end') response.end();
      }
    }, 5);
    response.once('close', () => {
      clearInterval(timer);
    });
  }

  #action(
    response: ServerResponse,
    method: string,
    capability: string,
    name: string,
    input: unknown,
  ): void {
    if (method === 'GET') {
      const actions = [...this.actions.keys()].map((key) => {
        const [of = '', action = ''] = key.split(' ');
        return { capability: of, action, summary: 'does it', mode: 'call' };
      });
      this.#send(response, 200, { actions });
      return;
    }
    const action = this.actions.get(`${capability} ${name}`);
    if (action === undefined) throw new BangerError('ACTION_UNKNOWN', `no action ${name}`);
    this.#send(response, 200, action(input));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.calls.push(`UPGRADE ${request.url ?? ''}`);
    const header = request.headers['banger-exec'];
    const input = JSON.parse(
      Buffer.from(typeof header === 'string' ? header : '', 'base64url').toString('utf8'),
    ) as ExecRequest;
    const name = (request.url ?? '').split('/')[3] ?? '';
    try {
      if (this.#find(name).state !== 'running')
        throw new BangerError('VM_NOT_RUNNING', `VM '${name}' is stopped`);
    } catch (error) {
      if (!(error instanceof BangerError)) throw error;
      const body = JSON.stringify({ error: error.toBody() });
      socket.end(
        `HTTP/1.1 409 Refused\r\ncontent-length: ${String(body.length)}\r\nconnection: close\r\n\r\n${body}`,
      );
      return;
    }
    this.execs.push(serveExec(socket, head, input));
  }
}
