import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadOrder, moduleName } from '../../../capabilities/kernels/modules.ts';

type Depends = Readonly<Record<string, readonly string[]>>;

const orderOf = (names: readonly string[], depends: Depends, builtIn: readonly string[] = []) =>
  loadOrder(
    names,
    (name) => name in depends,
    (name) => builtIn.includes(name),
    (name) => depends[name] ?? [],
  );

describe('the order in which modules are loaded', () => {
  it('has what a module needs before it, once', () => {
    const depends = {
      virtio_blk: ['virtio', 'virtio_ring'],
      virtio_mmio: ['virtio-ring', 'virtio'],
      virtio: ['virtio_ring'],
      virtio_ring: [],
    };
    expect(orderOf(['virtio_mmio', 'virtio_blk'], depends)).toEqual([
      'virtio_ring',
      'virtio',
      'virtio_mmio',
      'virtio_blk',
    ]);
  });

  it('leaves out what is built in', () => {
    expect(orderOf(['a', 'b'], { a: ['b', 'c'], c: ['b'] }, ['b'])).toEqual(['c', 'a']);
  });

  it('names a module that is not there, and modules that need each other', () => {
    expect(() => orderOf(['a'], { a: ['gone'] })).toThrow("no module 'gone'");
    expect(() => orderOf(['a'], { a: ['b'], b: ['a'] })).toThrow('a → b → a');
  });

  it('is right for whatever can be ordered', () => {
    const graph = fc.integer({ min: 1, max: 12 }).chain((count) =>
      fc.tuple(
        ...Array.from({ length: count }, (_, index) =>
          // A module depends on those of a smaller number alone, so there is no cycle.
          fc.subarray(Array.from({ length: index }, (_each, other) => `m${other}`)),
        ),
      ),
    );
    fc.assert(
      fc.property(graph, (lists) => {
        const depends = Object.fromEntries(lists.map((list, index) => [`m${index}`, list]));
        const order = orderOf(Object.keys(depends).reverse(), depends);
        expect([...order].sort()).toEqual(Object.keys(depends).sort());
        for (const [name, needed] of Object.entries(depends)) {
          for (const each of needed) expect(order.indexOf(each)).toBeLessThan(order.indexOf(name));
        }
      }),
    );
  });
});

describe('a module’s name', () => {
  it.each([
    ['kernel/drivers/block/virtio_blk.ko', 'virtio_blk'],
    ['kernel/x/virtio-blk.ko.xz', 'virtio_blk'],
    ['a.b.ko', 'a.b'],
  ])('of %s is %s', (path, name) => {
    expect(moduleName(path)).toBe(name);
  });
});
