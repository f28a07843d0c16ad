import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  includeLine,
  sshConfigBlock,
  withInclude,
  withoutInclude,
} from '../../../cli/commands/ssh-config/block.ts';
import { vmNameOf } from '../../../cli/commands/ssh-config/place.ts';
import { tempDir } from '../../support/temp-dir.ts';

const command = promisify(execFile);

describe('the file for OpenSSH', () => {
  it('is understood by ssh itself, whatever the paths', async () => {
    const folder = await tempDir();
    const odd = join(folder, `a b'c"d%h`);
    const config = join(folder, 'config');
    // Stands in for banger: writes down with which words it was called.
    const called = join(folder, 'called');
    await writeFile(odd, `#!/bin/sh\nprintf '%s|' "$0" "$@" >> ${called}; echo >> ${called}\n`);
    await chmod(odd, 0o755);
    const banger = [odd, 'x y'];
    await writeFile(config, sshConfigBlock({ user: 'root', identityFile: odd, banger }));
    const { stdout } = await command('ssh', ['-G', '-F', config, 'web.vm']);
    expect(stdout).toContain('\nuser root\n');
    expect(stdout).toContain('\nstricthostkeychecking true\n');
    expect(stdout).toContain(`\nidentityfile ${odd.replace('%h', '%%h')}\n`);
    await expect(command('ssh', ['-F', config, 'web.vm'])).rejects.toThrow();
    expect((await command('cat', [called])).stdout).toBe(`${odd}|x y|ssh-proxy|web.vm|\n`);
    // Not of other hosts.
    const other = await command('ssh', ['-G', '-F', config, 'example.org']);
    expect(other.stdout).not.toContain('proxycommand');
  });

  it('knows a VM by its host’s name', () => {
    expect(['web.vm', 'web', '[web.vm]:2222'].map(vmNameOf)).toEqual(['web', 'web', 'web']);
    expect(() => vmNameOf('x y.vm')).toThrow('is not a VM name');
  });
});

describe('the line that includes it', () => {
  const line = includeLine('/home/me/.config/banger/ssh_config');

  it('is added once, in front, and taken out again, whatever else is there', () => {
    const lines = fc.array(fc.oneof(fc.constantFrom('Host *', '', line.slice(1)), fc.string()));
    fc.assert(
      fc.property(lines, fc.boolean(), (others, isEnded) => {
        const text = others.filter((each) => each !== line).join('\n') + (isEnded ? '\n' : '');
        const added = withInclude(text, line);
        expect(added).toBe(`${line}\n${text}`);
        expect(withInclude(added, line)).toBe(added);
        expect(withoutInclude(added, line)).toBe(text);
        expect(withoutInclude(text, line)).toBe(text);
      }),
    );
  });
});
