import { BangerError } from './errors.ts';

interface Node {
  readonly id: string;
  readonly after: readonly string[];
  readonly before: readonly string[];
}

/**
 * Sorts by `after`/`before`; nodes that neither orders keep the order in which they came.
 * @param known ids that exist but may be switched off: naming one of those orders nothing
 * @throws BangerError CAPABILITY_UNKNOWN, CAPABILITY_CYCLE, both with the parties' names
 */
export const sortCapabilities = <N extends Node>(
  nodes: readonly N[],
  known: ReadonlySet<string> = new Set(nodes.map(({ id }) => id)),
): N[] => {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const earlier = new Map(nodes.map((node) => [node.id, new Set<string>()]));
  const check = (from: string, word: string, to: string): void => {
    if (known.has(to)) return;
    throw new BangerError(
      'CAPABILITY_UNKNOWN',
      `capability '${from}' wants to run ${word} '${to}', which is not installed`,
    );
  };
  for (const node of nodes) {
    for (const id of node.after) {
      check(node.id, 'after', id);
      if (byId.has(id)) earlier.get(node.id)?.add(id);
    }
    for (const id of node.before) {
      check(node.id, 'before', id);
      earlier.get(id)?.add(node.id);
    }
  }
  const sorted: N[] = [];
  const state = new Map<string, 'visiting' | 'done'>();
  const visit = (node: N, path: readonly string[]): void => {
    if (state.get(node.id) === 'done') return;
    if (state.get(node.id) === 'visiting') {
      const cycle = [...path.slice(path.indexOf(node.id)), node.id];
      throw new BangerError('CAPABILITY_CYCLE', `capabilities in a cycle: ${cycle.join(' → ')}`);
    }
    state.set(node.id, 'visiting');
    for (const other of nodes) {
      if (earlier.get(node.id)?.has(other.id) === true) visit(other, [...path, node.id]);
    }
    state.set(node.id, 'done');
    sorted.push(node);
  };
  for (const node of nodes) visit(node, []);
  return sorted;
};
