/** A line for iptables-restore(8), without its table. */
export interface Change {
  readonly table: string;
  /** `-I CHAIN …`, `-A CHAIN …` or `-D CHAIN …` */
  readonly line: string;
}

/** A rule as iptables-save(8) prints it: `-A CHAIN …`. */
export interface SavedRule extends Change {
  readonly comment: string;
}

const commentMatch = (comment: string): string => `-m comment --comment "${comment}"`;

/**
 * What one VM needs. Accepts go to the top of FORWARD itself: Docker's and ufw's policy is DROP there, and
 * no other chain or table can overrule a drop.
 */
export const vmRules = (
  { bridge, address }: { readonly bridge: string; readonly address: string },
  marker: string,
): Change[] => {
  const comment = commentMatch(marker);
  return [
    {
      table: 'nat',
      line: `-A POSTROUTING -s ${address}/32 ! -o ${bridge} ${comment} -j MASQUERADE`,
    },
    { table: 'filter', line: `-I FORWARD 1 -s ${address}/32 -i ${bridge} ${comment} -j ACCEPT` },
    {
      table: 'filter',
      line: `-I FORWARD 1 -d ${address}/32 -o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED ${comment} -j ACCEPT`,
    },
  ];
};

/** A VM's rule, by what it does: the flags that tell are the same in every version's output. */
const roleOf = ({ table, line }: SavedRule): string | undefined => {
  if (table === 'nat' && line.startsWith('-A POSTROUTING ')) return 'masquerade';
  if (table !== 'filter' || !line.startsWith('-A FORWARD ')) return undefined;
  if (/ -s \S/.test(line)) return 'out';
  return / -d \S/.test(line) ? 'back' : undefined;
};

/** Each of a VM's rules is there, once. */
export const isComplete = (rules: readonly SavedRule[]): boolean =>
  rules.length === 3 &&
  new Set(rules.map(roleOf)).size === 3 &&
  !rules.map(roleOf).includes(undefined);

/** Of a VM's rule: what a teardown's identity is made of. */
export const subjectOf = ({
  line,
}: SavedRule): { readonly address: string; readonly bridge: string } | undefined => {
  const address = / -[sd] (\d+\.\d+\.\d+\.\d+)\/32 /.exec(line)?.[1];
  const bridge = / -[io] (\S+) /.exec(line)?.[1];
  return address === undefined || bridge === undefined ? undefined : { address, bridge };
};

/** `<marker> forwarding <device> was off` */
const guardPattern = /^(\S+) forwarding (\S+) was off$/;

/**
 * Forwarding on an uplink makes the host a router for all who reach it there. The guard, at the end of
 * FORWARD, keeps that as it was: only answers come in. It also tells other daemons who switched it on.
 */
export const guardRule = (device: string, marker: string): Change => ({
  table: 'filter',
  line: `-A FORWARD -i ${device} -m conntrack ! --ctstate RELATED,ESTABLISHED ${commentMatch(`${marker} forwarding ${device} was off`)} -j DROP`,
});

/** The marker and the device of a guard rule, whosever it is. */
export const guardOf = ({
  comment,
}: SavedRule): { readonly marker: string; readonly device: string } | undefined => {
  const [, marker, device] = guardPattern.exec(comment) ?? [];
  return marker === undefined || device === undefined ? undefined : { marker, device };
};

/** The marker that a rule carries: its comment's first word. */
export const markerOf = ({ comment }: SavedRule): string => comment.split(' ', 1)[0] ?? '';

/** Quoted words are passed over whole: another's comment may have `--comment` in its text. */
const commentPattern = /^-A (?:"(?:[^"\\]|\\.)*"|[^"])*? --comment (?:"((?:[^"\\]|\\.)*)"|(\S+))/;

/** What iptables-save printed, as far as it carries a comment. */
export const parseSaved = (text: string): SavedRule[] => {
  let table = '';
  return text.split('\n').flatMap((line) => {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const comment = commentPattern.exec(line);
    if (comment === null) return [];
    return [{ table, line, comment: comment[1] ?? comment[2] ?? '' }];
  });
};

/** Deletes exactly that rule: its line as it was printed, with -D for -A. */
export const deletionOf = ({ table, line }: SavedRule): Change => ({
  table,
  line: line.replace(/^-A /, '-D '),
});

export const restoreInput = (changes: readonly Change[]): string =>
  [...new Set(changes.map(({ table }) => table))]
    .flatMap((table) => [
      `*${table}`,
      ...changes.filter((change) => change.table === table).map(({ line }) => line),
      'COMMIT',
    ])
    .map((line) => `${line}\n`)
    .join('');
