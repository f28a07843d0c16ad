/**
 * The catalogue of error codes. A code is stable: scripts may match on it. Each has a default remedy,
 * one line that says how to mend it; whoever raises the error may give a better one.
 */
export const catalogue = {
  ACTION_UNKNOWN: 'See `banger x` for the actions there are.',
  AGENT_PROTOCOL: 'See the agent log with `banger vm logs NAME`, then restart the VM.',
  CAPABILITY_CONFLICT: 'Remove one of the two, or switch one off in [capabilities].',
  CAPABILITY_CYCLE: 'Break the cycle in `after`/`before` of the capabilities named.',
  CAPABILITY_UNKNOWN: 'Install the capability, or drop the reference to it.',
  CLAIM_CONFLICT: 'See `banger doctor`; another VM or operation holds it.',
  CLAIM_IN_USE: 'Release the users first; they are named above.',
  CLAIM_TOO_NEW: 'Install the banger version that made it, or a newer one.',
  CLAIM_UNREADABLE: 'See `banger doctor --leaks`.',
  CLAIMS_CLOSED: 'The operation is being undone; run the command again afterwards.',
  COMMAND_FAILED: 'See the daemon log with `banger daemon logs`.',
  COMMAND_TIMEOUT: 'See whether the host is overloaded, then run the command again.',
  CONFIG_INVALID: 'Correct the file and run the command again.',
  DAEMON_RUNNING: 'Use the running one, or stop it with `banger daemon stop`.',
  DISK_FULL: 'Free some space on that file system, then run the command again.',
  FOREIGN_OBJECT: 'It is not ours, so it was left alone; rename or remove it yourself.',
  GUEST_DATA: 'The guest sent what cannot be taken over; see what runs in it.',
  GUEST_FAILED: 'See the console with `banger vm logs NAME`.',
  GUEST_PANIC: 'See the console with `banger vm logs NAME`, then start the VM again.',
  GUEST_UNREACHABLE: 'See the console with `banger vm logs NAME`, then restart the VM.',
  IMAGE_BUILD_FAILED:
    'Mend what the message says and run the command again; finished steps are kept.',
  IMAGE_IN_USE: 'Delete the VMs named above first.',
  IMAGE_UNKNOWN: 'See `banger image list` for the images there are.',
  INPUT_INVALID: 'See `banger --help`.',
  INTERNAL: 'This is a bug in banger. The daemon log has the details: `banger daemon logs`.',
  INTERRUPTED: 'The daemon ended in the middle of it; run the command again.',
  KERNEL_UNKNOWN: 'See `banger kernel list` for the kernels there are.',
  NETWORK_UNAVAILABLE: 'See `banger doctor`.',
  OPERATION_CANCELLED: 'Run the command again if that was not meant.',
  OPERATION_UNKNOWN: 'It may have been pruned; `banger vm show NAME` tells the VM’s state.',
  PERMISSION_DENIED: 'Run as root, or give your user access.',
  PLUGIN_FAILED:
    'Correct the plugin or remove its [[plugins]] entry, then `banger daemon restart`.',
  PRIVILEGE_UNAVAILABLE: 'Run as root, or allow your user passwordless sudo (NOPASSWD).',
  PROVISION_FAILED: 'The VM is up; mend the step and start the VM again to repeat it.',
  REPOSITORY_UNSUITABLE: 'Name a folder of a git repository that has a working tree.',
  SSH_UNREACHABLE:
    'See the console with `banger vm logs NAME`; `banger vm exec` works without SSH.',
  STORE_CORRUPT: 'Restore a backup of the database, or move it away.',
  STORE_TOO_NEW: 'Install the banger version that wrote it, or a newer one.',
  TOOL_MISSING: 'Install the package named above.',
  VM_BUSY: 'Wait for the operation named above, or stop the VM.',
  VM_EXISTS: 'Choose another name, or delete that VM with `banger vm delete`.',
  VM_HOLDS_WORK: 'Save it first, or delete it all the same with `banger vm delete --force NAME`.',
  VM_NAME_INVALID:
    'Use 1 to 63 of a-z, 0-9 and hyphen, with no hyphen at either end, for example `my-vm`.',
  VM_NOT_CLEAN: 'See `banger doctor`; start again when what is named above can be removed.',
  VM_NOT_RUNNING: 'Start it with `banger vm start`.',
  VM_RESOURCES: 'Ask for less, or free some of it on the host.',
  VM_RUNNING: 'Stop it first, or use --force.',
  VM_UNKNOWN: 'See `banger vm list` for the VMs there are.',
  VMM_FAILED: 'See `banger vm logs NAME` and `banger doctor`.',
  VMM_UNAVAILABLE: 'See `banger doctor`.',
  WORKSPACE_CONFLICT: 'Commit or set aside what the host has changed there, or export a patch.',
  WORKSPACE_EXISTS: 'A VM has one workspace; make another VM, or use the one that it has.',
  WORKSPACE_TOO_LARGE: 'Raise `max_patch` of [workspace] in config.toml, or have less in it.',
  WORKSPACE_UNKNOWN: 'Bring a repository in: `banger vm workspace prepare NAME PATH`.',
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof catalogue;

/** What crosses the socket. `logPath` is a file on the host that tells more. */
export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
  readonly operationId?: string;
  readonly logPath?: string;
}

export interface ErrorDetails {
  readonly remedy?: string;
  readonly cause?: unknown;
  readonly operationId?: string;
  readonly logPath?: string;
}

/** An error that its reader can act on. Everything else that is thrown becomes `INTERNAL`. */
export class BangerError extends Error {
  override readonly name = 'BangerError';
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly operationId: string | undefined;
  readonly logPath: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.remedy = details.remedy ?? catalogue[code];
    this.operationId = details.operationId;
    this.logPath = details.logPath;
  }

  toBody(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      remedy: this.remedy,
      ...(this.operationId === undefined ? {} : { operationId: this.operationId }),
      ...(this.logPath === undefined ? {} : { logPath: this.logPath }),
    };
  }
}

export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** Of an error of the system's, `ENOENT`; undefined where it has none. */
export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** Of Node and of SQLite, as far as a user can do something about them. */
const knownCodes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'DISK_FULL',
  SQLITE_FULL: 'DISK_FULL',
  /** No room for the index of the write-ahead log. */
  SQLITE_IOERR_SHMSIZE: 'DISK_FULL',
  SQLITE_CORRUPT: 'STORE_CORRUPT',
};

/** Any thrown value as a BangerError; a foreign one is `INTERNAL`, save for a few, and keeps its cause. */
export const toBangerError = (error: unknown): BangerError => {
  if (error instanceof BangerError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return new BangerError(knownCodes[code] ?? 'INTERNAL', messageOf(error), { cause: error });
};
