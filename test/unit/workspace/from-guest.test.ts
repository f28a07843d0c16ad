import { describe, expect, it } from 'vitest';
import { publicUrl } from '../../../capabilities/workspace/send.ts';
import { parseNameStatus } from '../../../capabilities/workspace/snapshot.ts';

describe('a list of changed files', () => {
  it('is read as git writes it', () => {
    expect(parseNameStatus('M\ta\nA\t"n\\303\\244"\nD\tb c\nT\tlink\n')).toEqual([
      { status: 'M', path: 'a' },
      { status: 'A', path: '"n\\303\\244"' },
      { status: 'D', path: 'b c' },
      { status: 'T', path: 'link' },
    ]);
  });

  it('has nothing that would move a terminal’s cursor, whatever a guest sends', () => {
    expect(parseNameStatus('M\t\u001b[2Jgone\nX\ta\nM a\n\nM\t\u009b1m\nM\tok')).toEqual([
      { status: 'M', path: 'ok' },
    ]);
  });
});

describe('a remote’s address', () => {
  it('goes in without what it has of a password', () => {
    expect(publicUrl('https://token@host/x.git')).toBe('https://host/x.git');
    expect(publicUrl('https://me:secret@host:8443/x.git')).toBe('https://host:8443/x.git');
    expect(publicUrl('ssh://git:secret@host/x.git')).toBe('ssh://git@host/x.git');
    expect(publicUrl('git@host:x.git')).toBe('git@host:x.git');
    expect(publicUrl('ssh://git@host/x.git')).toBe('ssh://git@host/x.git');
  });

  it('does not go in where it leads nowhere in a guest', () => {
    for (const path of ['/srv/x.git', './x', '../x', '~/x', 'file:///srv/x.git'])
      expect(publicUrl(path)).toBeUndefined();
  });
});
