import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newToken, type Executor } from '../../core/plugin-api/index.ts';

/** A VM's rules in the format of iptables-restore(8). */
export interface NatRules {
  /** Own copies: the teardown asks no other module. */
  readonly bridge: string;
  readonly address: string;
  readonly marker: string;
}

/** A rule as iptables-save prints it, with its table. */
export interface SavedRule {
  readonly table: string;
  /** `-A CHAIN …` */
  readonly rule: string;
  readonly comment: string;
}

/** How many rules `addition` makes. */
export const rulesPerVm = 3;

/**
 * Accepts go to the top of FORWARD itself: Docker's and ufw's policy is DROP there, and no other chain
 * or table can overrule a drop.
 */
export const addition = ({ bridge, address, marker }: NatRules): string => {
  const comment = `-m comment --comment "${marker}"`;
  return [
    '*nat',
    `-A POSTROUTING -s ${address}/32 ! -o ${bridge} ${comment} -j MASQUERADE`,
    'COMMIT',
    '*filter',
    `-I FORWARD 1 -i ${bridge} -s ${address}/32 ${comment} -j ACCEPT`,
    `-I FORWARD 1 -o ${bridge} -d ${address}/32 -m conntrack --ctstate RELATED,ESTABLISHED ${comment} -j ACCEPT`,
    'COMMIT',
    '',
  ].join('\n');
};

/** What iptables-save printed, as far as it carries a comment. */
export const parseSaved = (text: string): SavedRule[] => {
  let table = '';
  return text.split('\n').flatMap((line) => {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const comment = /^-A .*--comment (?:"([^"]*)"|(\S+))/.exec(line);
    if (comment === null) return [];
    return [{ table, rule: line, comment: comment[1] ?? comment[2] ?? '' }];
  });
};

/** Deletes exactly those rules: the lines as they were printed, with -D for -A. */
export const deletion = (rules: readonly SavedRule[]): string =>
  [...new Set(rules.map(({ table }) => table))]
    .flatMap((table) => [
      `*${table}`,
      ...rules
        .filter((rule) => rule.table === table)
        .map(({ rule }) => rule.replace(/^-A /, '-D ')),
      'COMMIT',
    ])
    .join('\n') + '\n';

export const savedRules = async (exec: Executor): Promise<SavedRule[]> => {
  const { stdout } = await exec.run('iptables-save', [], { privileged: true });
  return parseSaved(stdout);
};

/** `-w`: waits for whoever else changes rules now. Input goes by file: stdin is the helpers lock. */
export const restore = async (
  exec: Executor,
  directory: string,
  text: string,
  signal?: AbortSignal,
): Promise<void> => {
  const file = join(directory, `rules-${newToken(8)}.tmp`);
  await writeFile(file, text, { flag: 'wx', mode: 0o600 });
  try {
    await exec.run('iptables-restore', ['--noflush', '-w', '10', file], {
      privileged: true,
      ...(signal === undefined ? {} : { signal }),
    });
  } finally {
    await rm(file, { force: true });
  }
};
