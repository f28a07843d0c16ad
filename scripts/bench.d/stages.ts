import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Samples, type Summary } from './statistics.ts';

interface EventRow {
  readonly kind: string;
  readonly name: string;
  readonly body: string;
}

/** Milliseconds of each stage, by the operation's kind and the VM's part in the benchmark. */
export const readStages = (stateDirectory: string): Record<string, Summary> => {
  const database = new Database(join(stateDirectory, 'banger.db'), { readonly: true });
  try {
    const rows = database
      .prepare<[], EventRow>(
        `SELECT o.kind, o.vm_name AS name, e.body FROM operation_event e
         JOIN operation o ON o.id = e.operation_id ORDER BY e.operation_id, e.seq`,
      )
      .all();
    const samples = new Samples();
    for (const { kind, name, body } of rows) {
      if (!/^(run|step)-[1-9]\d*$/.test(name)) continue;
      const event = JSON.parse(body) as { stage?: string; status?: string; durationMs?: number };
      if (event.status !== 'done' || event.durationMs === undefined) continue;
      const part = name.replace(/-\d+$/, '');
      samples.add(`${part}: ${kind} ▸ ${event.stage ?? ''}`, event.durationMs);
    }
    return samples.summaries();
  } finally {
    database.close();
  }
};

/** Milliseconds of each host command of the daemon, from its log at level `debug`. */
export const readCommands = async (stateDirectory: string): Promise<Record<string, Summary>> => {
  const samples = new Samples();
  for (const line of (await readFile(join(stateDirectory, 'daemon.log'), 'utf8')).split('\n')) {
    if (line === '') continue;
    const entry = JSON.parse(line) as { msg?: string; command?: string[]; durationMs?: number };
    if (entry.msg !== 'host command' || entry.durationMs === undefined) continue;
    samples.add(
      (entry.command ?? [])
        .slice(0, 4)
        .map((word) => word.replace(/^.*\//, '…/').slice(0, 24))
        .join(' ')
        .replaceAll(/[a-z2-7]{5,}(?=\.|$|\d)/g, '*'),
      entry.durationMs,
    );
  }
  return samples.summaries();
};
