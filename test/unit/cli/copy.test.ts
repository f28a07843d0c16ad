import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { copyRequestOf } from '../../../cli/commands/vm/cp.ts';

const here = resolve('.');

describe('vm cp', () => {
  it.each([
    // Under its name where the target is a folder, which the guest knows.
    ['notes', 'web:', { host: `${here}/notes`, guest: '/root', name: 'notes' }],
    ['notes', 'web:~', { host: `${here}/notes`, guest: '/root', name: 'notes' }],
    ['notes', 'web:~/a', { host: `${here}/notes`, guest: '/root/a', name: 'notes' }],
    ['notes', 'web:a/../b', { host: `${here}/notes`, guest: '/root/b', name: 'notes' }],
    ['./a/', 'web:/srv', { host: `${here}/a`, guest: '/srv', name: 'a' }],
    // A slash says that it is a folder, there or not.
    ['/x/a', 'web:/srv/', { host: '/x/a', guest: '/srv/a' }],
    ['/x/a', 'web:/', { host: '/x/a', guest: '/a' }],
    // What is in it.
    ['/x/a/.', 'web:/srv', { host: '/x/a', guest: '/srv' }],
    ['/x/a/.', 'web:/srv/', { host: '/x/a', guest: '/srv' }],
    ['.', 'web:/srv', { host: here, guest: '/srv' }],
    // A colon in a host's file name, and a VM whose name is one letter.
    ['./web:x', 'a:/srv', { host: `${here}/web:x`, guest: '/srv', name: 'web:x' }],
    ['No_VM:x', 'a:/srv', { host: `${here}/No_VM:x`, guest: '/srv', name: 'No_VM:x' }],
  ])('%s %s goes in', (source, destination, expected) => {
    const { body } = copyRequestOf(source, destination);
    expect(body).toEqual({ direction: 'in', ...expected });
  });

  it.each([
    ['web:log', '.', { guest: '/root/log', host: here, name: 'log' }],
    ['web:/var/log/', '/x', { guest: '/var/log', host: '/x', name: 'log' }],
    ['web:/var/log', '/x/', { guest: '/var/log', host: '/x/log' }],
    ['web:/var/log/.', '/x', { guest: '/var/log', host: '/x' }],
    ['web:/', '/x', { guest: '/', host: '/x' }],
    ['web:', './x', { guest: '/root', host: `${here}/x`, name: 'root' }],
  ])('%s %s comes out', (source, destination, expected) => {
    const { vm, body } = copyRequestOf(source, destination);
    expect(vm).toBe('web');
    expect(body).toEqual({ direction: 'out', ...expected });
  });

  it('is between the host and one VM', () => {
    expect(() => copyRequestOf('a', 'b')).toThrow("neither 'a' nor 'b' is in a VM");
    expect(() => copyRequestOf('x:a', 'y:b')).toThrow('both are in a VM');
  });
});
