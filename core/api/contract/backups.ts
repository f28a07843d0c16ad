/** Of `banger daemon restore`: no daemon runs then, so these are not of the API's routes. */

export interface BackupInfo {
  readonly name: string;
  readonly path: string;
  /** Of before a migration, or of every day. */
  readonly kind: 'upgrade' | 'daily';
  readonly schema: number;
  readonly createdAt: string;
  readonly bytes: number;
  /** `newer`: whole, but of a newer banger. */
  readonly state: 'good' | 'damaged' | 'newer';
  /** What is wrong; empty where nothing is. */
  readonly detail: string;
}

export interface RestoreReport {
  readonly database: string;
  readonly backup: string;
  /** Where the database that was there is now; null where none was. */
  readonly setAside: string | null;
}
