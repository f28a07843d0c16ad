import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sortCapabilities } from '../../../core/order.ts';

const node = (id: string, after: string[] = [], before: string[] = []) => ({ id, after, before });
const ids = (nodes: readonly { id: string }[]) => nodes.map(({ id }) => id);

describe('sortCapabilities', () => {
  it('honours after and before, and keeps the given order otherwise', () => {
    expect(ids(sortCapabilities([node('c', ['a']), node('b'), node('a', [], ['b'])]))).toEqual([
      'a',
      'c',
      'b',
    ]);
  });

  it('names the parties of an unknown reference', () => {
    expect(() => sortCapabilities([node('nat', ['tap-poool'])])).toThrow(
      "capability 'nat' wants to run after 'tap-poool', which is not installed",
    );
  });

  it('ignores what is installed but switched off', () => {
    expect(ids(sortCapabilities([node('nat', ['tap'])], new Set(['nat', 'tap'])))).toEqual(['nat']);
  });

  it('names a cycle', () => {
    expect(() => sortCapabilities([node('a', ['c']), node('b', ['a']), node('c', ['b'])])).toThrow(
      'a → c → b → a',
    );
  });

  it('sorts any acyclic graph so that each comes after its own (property)', () => {
    const graph = fc
      .integer({ min: 1, max: 12 })
      .chain((size) =>
        fc
          .array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 30 })
          .map((edges) => ({ size, edges: edges.filter(([from, to]) => from < to) })),
      );
    fc.assert(
      fc.property(graph, fc.boolean(), ({ size, edges }, reversed) => {
        const nodes = Array.from({ length: size }, (_, index) =>
          node(
            `n${String(index)}`,
            edges.filter(([, to]) => to === index).map(([from]) => `n${String(from)}`),
          ),
        );
        const sorted = ids(sortCapabilities(reversed ? nodes.reverse() : nodes));
        expect(new Set(sorted).size).toBe(size);
        for (const [from, to] of edges)
          expect(sorted.indexOf(`n${String(from)}`)).toBeLessThan(sorted.indexOf(`n${String(to)}`));
      }),
    );
  });
});
