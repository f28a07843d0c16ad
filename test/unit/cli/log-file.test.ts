import { appendFile, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newLines } from '../../../cli/logs/agent-log.ts';
import { LogFile } from '../../../cli/logs/log-file.ts';
import { tempDir } from '../../support/temp-dir.ts';

const textOf = async (chunks: AsyncIterable<Buffer>): Promise<string> => {
  let text = '';
  for await (const chunk of chunks) text += chunk.toString();
  return text;
};

const open = async (content: string): Promise<{ path: string; log: LogFile }> => {
  const path = join(await tempDir(), 'console.log');
  await writeFile(path, content);
  return { path, log: await LogFile.open(path) };
};

describe('a log that is read while it is written', () => {
  it('is read on from where it was left', async () => {
    const { path, log } = await open('one\n');
    expect(await textOf(log.read())).toBe('one\n');
    expect(await textOf(log.readOn())).toBe('');
    await appendFile(path, 'two\n');
    expect(await textOf(log.readOn())).toBe('two\n');
    await log.close();
  });

  it('loses nothing when it is moved away, and none of it comes twice', async () => {
    const { path, log } = await open('one\n');
    expect(await textOf(log.read())).toBe('one\n');
    await appendFile(path, 'two\n');
    await rename(path, `${path}.1`);
    // The new one is not there yet.
    expect(await textOf(log.readOn())).toBe('two\n');
    await writeFile(path, 'three\n');
    await appendFile(`${path}.1`, 'rest\n');
    expect(await textOf(log.readOn())).toBe('rest\nthree\n');
    expect(await textOf(log.readOn())).toBe('');
    await log.close();
  });

  it('begins anew when it is emptied', async () => {
    const { path, log } = await open('a long line\n');
    expect(await textOf(log.read())).toBe('a long line\n');
    await truncate(path);
    expect(await textOf(log.readOn())).toBe('');
    await writeFile(path, 'new\n');
    expect(await textOf(log.readOn())).toBe('new\n');
    await log.close();
  });

  it.each([
    ['', 3, 3, ''],
    ['a\nb\nc\n', 2, 0, 'b\nc\n'],
    ['a\nb\nc', 2, 0, 'b\nc'],
    ['a\nb\n', 2, 0, 'a\nb\n'],
    ['a\nb\n', 5, 3, 'a\nb\n'],
    ['a\nb', 3, 1, 'a\nb'],
    ['\n\n', 1, 0, '\n'],
  ])(
    '%j has its last %i lines, %i of which are elsewhere',
    async (content, lines, missing, rest) => {
      const { log } = await open(content);
      expect(await log.seekLastLines(lines)).toBe(missing);
      expect(await textOf(log.read())).toBe(rest);
      await log.close();
    },
  );

  it('has its last lines however long they are', async () => {
    const long = 'x'.repeat(200_000);
    const { log } = await open(`first\n${long}\n${long}\n`);
    expect(await log.seekLastLines(2)).toBe(0);
    expect(await textOf(log.read())).toBe(`${long}\n${long}\n`);
    await log.close();
  });
});

describe('what is new of a log that is asked for as a whole', () => {
  it.each([
    [[], ['a'], ['a']],
    [['a'], ['a', 'b'], ['b']],
    [['a', 'b'], ['a', 'b'], []],
    [['a', 'b'], ['b', 'c'], ['c']],
    [['a'], ['x', 'y'], ['x', 'y']],
  ])('%j, then %j: %j', (known, now, news) => {
    expect(newLines(known, now)).toEqual(news);
  });
});
