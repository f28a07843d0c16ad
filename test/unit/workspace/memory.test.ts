import { describe, expect, it } from 'vitest';
import {
  readMemory,
  unsaved,
  withSaved,
  writeMemory,
  type Memory,
} from '../../../capabilities/workspace/memory.ts';
import { tempDir } from '../../support/temp-dir.ts';

const first = 'a'.repeat(40);
const second = 'b'.repeat(40);

const memory = (seen: Partial<Memory['seen']> = {}): Memory => ({
  shared: first,
  saved: [first],
  seen: {
    tree: first,
    elsewhere: 0,
    inner: 0,
    at: '2026-01-01T00:00:00.000Z',
    isFinal: true,
    ...seen,
  },
});

describe('what a VM’s deletion would lose', () => {
  it('is nothing where it stopped as it began', () => {
    expect(unsaved(memory(), '/root/repo')).toBeUndefined();
  });

  it('is what was never exported, until it is', () => {
    const changed = memory({ tree: second });
    expect(unsaved(changed, '/root/repo')).toContain('never exported');
    expect(unsaved(withSaved(changed, second), '/root/repo')).toBeUndefined();
  });

  it('is what no export brings along', () => {
    expect(unsaved(memory({ elsewhere: 2 }), '/root/repo')).toContain('2 commits');
    expect(unsaved(memory({ inner: 1 }), '/root/repo')).toContain('1 repositories or submodules');
  });

  it('is not known of a VM that has run since, and is said so', () => {
    expect(unsaved(memory({ isFinal: false }), '/root/repo')).toMatch(/looked at last .*may be/);
    expect(unsaved(memory({ isFinal: false }), '/root/repo', true)).toBeUndefined();
  });

  it('is remembered in one file that is whole, with an end to its growth', async () => {
    const folder = await tempDir();
    let grown = memory();
    for (let at = 0; at < 300; at++) grown = withSaved(grown, String(at).padStart(40, '0'));
    await writeMemory(folder, grown);
    const read = await readMemory(folder);
    expect(read.saved).toHaveLength(100);
    expect(read.saved.at(-1)).toBe('299'.padStart(40, '0'));
  });
});
