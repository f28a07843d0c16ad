import { randomBytes } from 'node:crypto';
import {
  BangerError,
  deadlineSignal,
  messageOf,
  type AgentChannel,
  type ExecOptions,
  type ExecSession,
  type Guest,
  type Guests,
  type Logger,
} from '../../core/plugin-api/index.ts';
import { Agent } from './agent.ts';
import { AgentError } from './agent-error.ts';
import { readAgentLog } from './agent-log.ts';
import { listenForGuest } from './announcement.ts';
import { chardev, firecrackerVsock, type Connect } from './connect.ts';
import { endEarlierSession } from './end-earlier.ts';
import { ConnectionPool } from './pool.ts';
import { CLOSE_DEADLINE_MS, type Session } from './session.ts';

/** As much as Linux's generator takes for a whole seed: BLAKE2S_HASH_SIZE in drivers/char/random.c. */
const entropyBytes = 32;

/** The agent's errors as those that a user can act on. */
const translate = (error: unknown): unknown => {
  if (!(error instanceof AgentError)) return error;
  // A VM that was started by an earlier banger, and adopted, has its agent.
  if (error.code === 'AGENT_REFUSED' && error.message === 'no such method')
    return new BangerError('GUEST_FAILED', 'the agent in that guest is too old for this', {
      remedy: 'Restart the VM: it then has the agent of this banger.',
      cause: error,
    });
  if (error.code === 'AGENT_REFUSED')
    return new BangerError('GUEST_FAILED', `the guest says: ${error.message}`, { cause: error });
  if (error.code === 'AGENT_BAD_REQUEST')
    return new BangerError('INPUT_INVALID', error.message, { cause: error });
  const code = error.transient ? 'GUEST_UNREACHABLE' : 'AGENT_PROTOCOL';
  return new BangerError(code, `the guest's agent: ${messageOf(error)}`, { cause: error });
};

const translated = async <T>(call: () => Promise<T>): Promise<T> => {
  try {
    return await call();
  } catch (error) {
    throw translate(error);
  }
};

const startExec = async (
  agent: Agent,
  options: ExecOptions,
  signal: AbortSignal,
): Promise<ExecSession> => {
  let onSession: (session: Session) => void = () => undefined;
  const opened = new Promise<Session>((resolve) => {
    onSession = resolve;
  });
  const result = translated(() =>
    agent.exec({
      argv: options.argv,
      env: options.env,
      cwd: options.cwd,
      user: options.user,
      pty: options.pty,
      stdin: options.stdin ? 'session' : 'none',
      onStdout: (chunk) => options.onStdout(chunk),
      onStderr: (chunk) => options.onStderr(chunk),
      onSession: (session) => {
        onSession(session);
      },
      signal,
    }),
  );
  // Whichever comes first: a session, or the reason why there is none.
  const session = await Promise.race([
    opened,
    result.then(() => {
      throw new BangerError('AGENT_PROTOCOL', 'the guest ended a command that it never began');
    }),
  ]);
  return {
    write: async (chunk) => {
      await session.write(chunk);
    },
    endInput: () => {
      session.endStdin();
    },
    signal: (number) => {
      session.signal(number);
    },
    resize: (rows, columns) => {
      session.resize(rows, columns);
    },
    result,
  };
};

const asGuest = (agent: Agent): Guest => ({
  health: (signal) => translated(() => agent.healthz(signal)),
  stats: (signal) => translated(() => agent.stats(signal)),
  ports: (signal) => translated(() => agent.ports(signal)),
  log: (signal) => translated(() => readAgentLog(agent, signal)),
  exec: (options, signal) => startExec(agent, options, signal),
  put: (path, content, mode, signal) =>
    translated(() => agent.putFile({ path, source: content, mode, signal })),
  get: async (path, signal) => {
    const chunks: Buffer[] = [];
    await translated(() =>
      agent.getFile({ path, onData: (chunk) => void chunks.push(Buffer.from(chunk)), signal }),
    );
    return Buffer.concat(chunks);
  },
  grow: (path, signal) => translated(() => agent.grow(path, signal)),
  tar: (path, { onChunk, onNote }, signal) =>
    translated(() => agent.tar({ path, onData: onChunk, onNote, signal })),
  untar: ({ path, name }, source, signal) =>
    translated(() => agent.untar({ path, name, source, signal })),
  renew: (now, signal) =>
    translated(() => agent.identify({ clockMs: now, entropy: randomBytes(entropyBytes), signal })),
  shutdown: (signal) => translated(() => agent.shutdown(signal)),
});

/** So many commands at once, as the ports of QEMU's guests allow. */
const vsockStreams = 8;
/** wire.h. */
const vsockPort = 1024;

const connectors = (channel: AgentChannel | undefined): readonly Connect[] => {
  if (channel === undefined)
    throw new BangerError('VM_NOT_RUNNING', 'the VM has no VMM that leads to its agent');
  return channel.kind === 'ports'
    ? channel.paths.map(chardev)
    : Array<Connect>(vsockStreams).fill(firecrackerVsock(channel.path, vsockPort));
};

/** The agents that this daemon is connected to, by VM id. */
export class ConnectedGuests implements Guests {
  readonly #agents = new Map<string, { agent: Agent; guest: Guest }>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Connects to a guest; its first answer comes when it is up. */
  async connect(
    vm: { readonly id: string; readonly name: string },
    channel: AgentChannel | undefined,
    deadlineMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    this.disconnect(vm);
    const agent = new Agent(new ConnectionPool(connectors(channel)));
    this.#agents.set(vm.id, { agent, guest: asGuest(agent) });
    try {
      await using announcement =
        channel?.kind === 'vsock' ? await listenForGuest(channel.announce, this.#log) : undefined;
      const pause = announcement?.pause;
      await translated(() => agent.waitReady({ deadlineMs, signal, pause }));
    } catch (error) {
      this.disconnect(vm);
      throw error;
    }
  }

  /** Ends the commands that an earlier daemon had in a guest. What a guest does not confirm in time goes to the log. */
  async endEarlier(
    vm: { readonly id: string; readonly name: string },
    channel: AgentChannel | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    // A connection to vsock has ended with that daemon, and the guest knows.
    if (channel?.kind !== 'ports') return;
    this.disconnect(vm); // a port has one client
    const either = deadlineSignal(CLOSE_DEADLINE_MS, signal);
    const ends = connectors(channel).map((port) => endEarlierSession(port, either));
    for (const end of await Promise.allSettled(ends)) {
      if (end.status === 'fulfilled') continue;
      const err: unknown = end.reason;
      this.#log.warn({ vm: vm.name, err }, 'a command of an earlier daemon may go on for a moment');
    }
  }

  disconnect(vm: { readonly id: string }): void {
    this.#agents.get(vm.id)?.agent.close();
    this.#agents.delete(vm.id);
  }

  of(vm: { readonly id: string; readonly name: string }): Guest {
    const found = this.#agents.get(vm.id);
    if (found === undefined)
      throw new BangerError('VM_NOT_RUNNING', `VM '${vm.name}' has no agent that answers`);
    return found.guest;
  }
}
