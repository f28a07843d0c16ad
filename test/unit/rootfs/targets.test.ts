import { describe, expect, it } from 'vitest';
import { parseBacking } from '../../../capabilities/rootfs/loops.ts';
import {
  parseInfo,
  parseStatus,
  parseTargetName,
  targetName,
} from '../../../capabilities/rootfs/targets.ts';

const instance = { token: 'abcdef' };

describe('names of targets', () => {
  it.each(['snapshot', 'base'] as const)('tell token and kind: %s', (of) => {
    const name = targetName(instance, 'qrstuvwx', of);
    expect(parseTargetName(instance, name)).toEqual({ token: 'qrstuvwx', of });
  });

  it.each(['banger-ghijkl-qrstuvwx', 'banger-abcdef-', 'banger-abcdef-q-other', 'vg-root'])(
    'of others are not ours: %s',
    (name) => {
      expect(parseTargetName(instance, name)).toBeUndefined();
    },
  );
});

describe('what dmsetup prints', () => {
  it('of a snapshot: used and all bytes, or that it is lost', () => {
    const text = [
      'banger-a-b: 0 16777216 snapshot 205800/16842768 816',
      'banger-a-c: 0 16777216 snapshot Invalid',
      'banger-a-d: 0 16777216 snapshot Overflow',
      'banger-a-e: 0 16777216 snapshot Unknown',
      'other: 0 8 zero ',
      '',
    ].join('\n');
    expect([...parseStatus(text)]).toEqual([
      ['banger-a-b', { usedBytes: 205800 * 512, totalBytes: 16842768 * 512, invalid: false }],
      ['banger-a-c', { invalid: true }],
      ['banger-a-d', { invalid: true }],
      ['banger-a-e', { invalid: false }],
    ]);
  });

  it('of all targets, one without a UUID as well', () => {
    expect(parseInfo('vg-root  253 0\nbanger-a-b banger:a:b 253 1\n')).toEqual([
      { name: 'vg-root', uuid: '', device: '253:0' },
      { name: 'banger-a-b', uuid: 'banger:a:b', device: '253:1' },
    ]);
    expect(parseInfo('No devices found\n')).toEqual([]);
  });
});

describe('what losetup prints', () => {
  it('is the device and inode of the file behind each loop, as stat(2) tells them', () => {
    expect([...parseBacking('/dev/loop100 253:16 4711\n/dev/loop101 0:300 12\n\n')]).toEqual([
      ['/dev/loop100', { dev: String(253 * 256 + 16), ino: '4711' }],
      // Minors above 255 are split: gnu_dev_makedev(3).
      ['/dev/loop101', { dev: String((300 & 0xff) | ((300 & ~0xff) << 12)), ino: '12' }],
    ]);
  });
});
