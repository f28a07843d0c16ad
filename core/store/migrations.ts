/**
 * Core's tables. One entry a schema version, in order, never changed once released. All that are pending run in
 * one transaction, with foreign keys off, so a table may be made anew; what then refers to nothing is refused.
 */
export interface Migration {
  readonly name: string;
  /** The first version of banger that knows it: an older one names it when it refuses the database. */
  readonly since: string;
  readonly sql: string;
}

export const coreMigrations: readonly Migration[] = [
  {
    name: 'core-0001-initial',
    since: '0.1.0',
    sql: `
      CREATE TABLE vm (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        image TEXT NOT NULL,
        vcpus INTEGER NOT NULL,
        memory_mib INTEGER NOT NULL,
        disk_bytes INTEGER NOT NULL,
        ephemeral INTEGER NOT NULL,
        created_at TEXT NOT NULL
      ) STRICT;

      CREATE TABLE run (
        vm_id TEXT PRIMARY KEY REFERENCES vm (id) ON DELETE CASCADE,
        state TEXT NOT NULL CHECK (state IN ('stopped','starting','running','stopping','deleting')),
        run_id TEXT,
        driver TEXT,
        ip TEXT,
        pid INTEGER,
        started_at TEXT,
        last_error TEXT CHECK (last_error IS NULL OR json_valid(last_error)),
        conditions TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(conditions)),
        logs TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(logs))
      ) STRICT;

      CREATE TABLE claim (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        capability TEXT NOT NULL,
        key TEXT NOT NULL,
        id TEXT GENERATED ALWAYS AS (capability || '/' || key) STORED,
        token TEXT NOT NULL,
        scope TEXT NOT NULL CHECK (scope IN ('op','run','vm','host','store')),
        owner_id TEXT,
        run_id TEXT,
        identity TEXT NOT NULL,
        version INTEGER NOT NULL,
        observed TEXT,
        uses TEXT NOT NULL DEFAULT '[]',
        state TEXT NOT NULL CHECK (state IN ('intent','held','releasing')),
        boot_id TEXT NOT NULL,
        UNIQUE (capability, key)
      ) STRICT;
      CREATE INDEX claim_owner ON claim (owner_id, scope);

      CREATE TABLE operation (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        vm_id TEXT,
        vm_name TEXT,
        state TEXT NOT NULL CHECK (state IN ('running','done','failed','cancelled')),
        started_at TEXT NOT NULL,
        ended_at TEXT,
        error TEXT CHECK (error IS NULL OR json_valid(error)),
        result TEXT CHECK (result IS NULL OR json_valid(result))
      ) STRICT;

      CREATE TABLE operation_event (
        operation_id TEXT NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        body TEXT NOT NULL CHECK (json_valid(body)),
        PRIMARY KEY (operation_id, seq)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE provision_step (
        vm_id TEXT NOT NULL REFERENCES vm (id) ON DELETE CASCADE,
        capability TEXT NOT NULL,
        step TEXT NOT NULL,
        generation TEXT NOT NULL,
        done_at TEXT NOT NULL,
        PRIMARY KEY (vm_id, capability, step)
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    // Until here the log of migrations did not say whose they were.
    name: 'core-0002-migration-versions',
    since: '0.2.0',
    sql: `ALTER TABLE migration ADD COLUMN since TEXT NOT NULL DEFAULT '0.1.0';`,
  },
  {
    // `vm set`: what the record asks for and what the run has may differ.
    name: 'core-0003-vm-set',
    since: '0.3.0',
    sql: `
      ALTER TABLE vm ADD COLUMN nat INTEGER NOT NULL DEFAULT 1;
      ALTER TABLE run ADD COLUMN current TEXT CHECK (current IS NULL OR json_valid(current));
    `,
  },
  {
    // `vm pause`, of a run that goes on being one.
    name: 'core-0004-vm-pause',
    since: '0.4.0',
    sql: `ALTER TABLE run ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;`,
  },
];
