import { describe, expect, it } from 'vitest';
import { createPackageProgress } from '../../../capabilities/images/progress.ts';

/** As mmdebstrap 1.3 with --verbose prints it, apt's and dpkg's lines among its own. */
const output = [
  'I: automatically chosen mode: root',
  'I: running apt-get update...',
  'Get:1 http://mirror.example bookworm InRelease [151 kB]',
  '0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.',
  'Need to get 12.3 MB of archives.',
  'Get:1 http://mirror.example bookworm/main amd64 libc6 amd64 2.36-9 [2757 kB]',
  'Get:2 http://mirror.example bookworm/main amd64 bash amd64 5.2.15-2 [1491 kB]',
  'Unpacking libc6:amd64 (2.36-9) ...',
  'Unpacking bash (5.2.15-2) ...',
  'Setting up libc6:amd64 (2.36-9) ...',
  'Setting up bash (5.2.15-2) ...',
  'I: cleaning package lists and apt cache...',
];

describe('the progress of mmdebstrap', () => {
  it('never goes back, and ends at one', () => {
    const read = createPackageProgress();
    const fractions = output.flatMap((line) => read(line)?.fraction ?? []);
    expect(fractions).toHaveLength(6);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(fractions[0]).toBeGreaterThan(0);
    expect(fractions.at(-1)).toBe(1);
  });

  it('names the package and the phase', () => {
    const read = createPackageProgress();
    const texts = output.flatMap((line) => read(line)?.text ?? []);
    expect(texts).toContain('downloading libc6');
    expect(texts).toContain('unpacking bash');
    expect(texts).toContain('setting up libc6:amd64');
    expect(texts).toContain('running apt-get update');
  });

  it('has no fraction while the number of packages is unknown, and none above one', () => {
    const read = createPackageProgress();
    expect(read('Unpacking bash (5.2) ...')).toEqual({ text: 'unpacking bash' });
    read('1 newly installed');
    for (let count = 0; count < 5; count++)
      expect(read('Setting up x (1) ...')?.fraction).toBeLessThanOrEqual(1);
  });

  it('takes other lines for what they are', () => {
    const read = createPackageProgress();
    for (const line of ['', 'W: something', '(Reading database ... 5%', 'I:'])
      expect(read(line)).toBeUndefined();
  });
});
