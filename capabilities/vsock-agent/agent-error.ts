export type AgentErrorCode =
  | 'AGENT_UNREACHABLE' // no stream to the guest could be opened
  | 'AGENT_LOST' // the stream ended during a session
  | 'AGENT_RESTARTED' // the agent, or the part that served this stream, died
  | 'AGENT_SILENT' // no answer in time
  | 'AGENT_REFUSED' // the guest's own ERROR
  | 'AGENT_BAD_REQUEST' // would not fit the protocol
  | 'AGENT_BAD_ANSWER'; // does not follow the protocol

export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** The guest may answer if it is asked again. */
  get transient(): boolean {
    return ['AGENT_UNREACHABLE', 'AGENT_LOST', 'AGENT_RESTARTED', 'AGENT_SILENT'].includes(
      this.code,
    );
  }
}

export function silent(deadlineMs: number, cause?: unknown): AgentError {
  const given = cause === undefined ? {} : { cause };
  return new AgentError('AGENT_SILENT', `no answer from the guest in ${deadlineMs} ms`, given);
}
