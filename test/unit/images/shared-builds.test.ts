import { describe, expect, it } from 'vitest';
import { SharedBuilds } from '../../../capabilities/images/shared-builds.ts';
import type { OperationContext } from '../../../core/operation/context.ts';
import { silentLog } from '../../support/silent-log.ts';

interface Watched {
  readonly operation: OperationContext;
  readonly seen: string[];
  readonly cancel: AbortController;
}

const watched = (): Watched => {
  const seen: string[] = [];
  const cancel = new AbortController();
  const operation: OperationContext = {
    id: 'operation-1',
    kind: 'test',
    signal: cancel.signal,
    log: silentLog,
    progress: ({ text }) => seen.push(text),
    notice: (text) => seen.push(text),
  };
  return { operation, seen, cancel };
};

/** A build that ends when the test says so. */
const createWork = () => {
  const begun: OperationContext[] = [];
  const ends: ((value: string) => void)[] = [];
  const cleanedUp: number[] = [];
  return {
    begun,
    cleanedUp,
    end: (value: string) => ends.at(-1)?.(value),
    work: (shared: OperationContext): Promise<string> => {
      const index = begun.push(shared);
      return new Promise((resolve, reject) => {
        ends.push(resolve);
        shared.signal.addEventListener('abort', () => {
          // As a real one, it takes a while to put things in order.
          setTimeout(() => {
            cleanedUp.push(index);
            reject(shared.signal.reason);
          }, 5);
        });
      });
    },
  };
};

describe('one build for all who want it', () => {
  it('runs once, tells all of its progress, and what was last said to who comes late', async () => {
    const builds = new SharedBuilds<string>();
    const { work, begun, end } = createWork();
    const [one, two] = [watched(), watched()];
    const first = builds.join('image', false, one.operation, work);
    begun[0]?.progress({ text: 'downloading' });
    const second = builds.join('image', false, two.operation, work);
    begun[0]?.progress({ text: 'unpacking' });
    end('built');
    expect(await Promise.all([first, second])).toEqual(['built', 'built']);
    expect(begun).toHaveLength(1);
    expect(one.seen).toEqual(['downloading', 'unpacking']);
    expect(two.seen).toEqual(['downloading', 'unpacking']);
  });

  it('goes on when one of two cancels', async () => {
    const builds = new SharedBuilds<string>();
    const { work, begun, end } = createWork();
    const [one, two] = [watched(), watched()];
    const first = builds.join('image', false, one.operation, work);
    const second = builds.join('image', false, two.operation, work);
    one.cancel.abort(new Error('cancelled'));
    await expect(first).rejects.toThrow('cancelled');
    expect(begun[0]?.signal.aborted).toBe(false);
    end('built');
    expect(await second).toBe('built');
  });

  it('ends when the last one cancels, who waits until it has cleaned up', async () => {
    const builds = new SharedBuilds<string>();
    const { work, cleanedUp } = createWork();
    const [one, two] = [watched(), watched()];
    const both = Promise.allSettled(
      [one, two].map(({ operation }) => builds.join('image', false, operation, work)),
    );
    one.cancel.abort(new Error('cancelled'));
    two.cancel.abort(new Error('cancelled too'));
    expect(await both).toMatchObject([
      { status: 'rejected', reason: { message: 'cancelled' } },
      { status: 'rejected', reason: { message: 'cancelled too' } },
    ]);
    expect(cleanedUp).toEqual([1]);
  });

  it('begins anew for who comes while a cancelled one still cleans up', async () => {
    const builds = new SharedBuilds<string>();
    const { work, begun, cleanedUp, end } = createWork();
    const [one, two] = [watched(), watched()];
    const first = builds.join('image', false, one.operation, work);
    one.cancel.abort(new Error('cancelled'));
    const second = builds.join('image', false, two.operation, work);
    await expect(first).rejects.toThrow('cancelled');
    await expect.poll(() => begun.length).toBe(2);
    expect(cleanedUp).toEqual([1]);
    end('built');
    expect(await second).toBe('built');
  });

  it('is not what a rebuild asks for, unless it is one', async () => {
    const builds = new SharedBuilds<string>();
    const { work, begun, end } = createWork();
    const plain = builds.join('image', false, watched().operation, work);
    const rebuild = builds.join('image', true, watched().operation, work);
    end('old');
    expect(await plain).toBe('old');
    await expect.poll(() => begun.length).toBe(2);
    const joined = builds.join('image', false, watched().operation, work);
    end('new');
    expect(await Promise.all([rebuild, joined])).toEqual(['new', 'new']);
    expect(begun).toHaveLength(2);
  });

  it('tells its failure to all, and the next one tries again', async () => {
    const builds = new SharedBuilds<string>();
    const fail = () => Promise.reject(new Error('no'));
    const both = [1, 2].map(() => builds.join('image', false, watched().operation, fail));
    for (const each of both) await expect(each).rejects.toThrow('no');
    expect(
      await builds.join('image', false, watched().operation, () => Promise.resolve('built')),
    ).toBe('built');
  });

  it('is apart for each name', async () => {
    const builds = new SharedBuilds<string>();
    const names = ['a', 'b'].map((name) =>
      builds.join(name, false, watched().operation, () => Promise.resolve(name)),
    );
    expect(await Promise.all(names)).toEqual(['a', 'b']);
  });

  it('is refused to who has cancelled already', async () => {
    const builds = new SharedBuilds<string>();
    const { work, begun } = createWork();
    const { operation, cancel } = watched();
    cancel.abort(new Error('cancelled'));
    await expect(builds.join('image', false, operation, work)).rejects.toThrow('cancelled');
    expect(begun).toEqual([]);
  });
});
