import type { Executor } from './executor.ts';
import type { Logger } from '../log/logger.ts';

/** This daemon among others on the same host: bound to its state directory's dev:inode. */
export interface Instance {
  /** Six of a-z2-7, in the name or marker of everything that we make on the host. */
  readonly token: string;
  /**
   * A network device's name, at most 15 characters (IFNAMSIZ − 1): `bgr-` + token + suffix.
   * `suffix` is 1–5 of a-z2-7.
   */
  deviceName(suffix: string): string;
  /** The marker (link alias, rule comment) of the object with that claim token. */
  marker(token: string): string;
  /** The claim token in a marker of ours, or undefined where the marker is not ours. */
  parseMarker(marker: string): string | undefined;
}

/** What a teardown may use: no other module, no setting, no service. */
export interface Host {
  readonly exec: Executor;
  readonly instance: Instance;
  /** /proc/sys/kernel/random/boot_id */
  readonly bootId: string;
  /** Folder of this capability's files under the state directory. */
  readonly directory: string;
  readonly log: Logger;
}
