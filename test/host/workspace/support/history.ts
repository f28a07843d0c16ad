import { randomEntry, randomName, type Entry } from './files.ts';
import type { Random } from './random.ts';

const quoted = (name: string): string =>
  `"${[...Buffer.from(name, 'latin1')].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')}"`;

const data = (content: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`data ${String(content.length)}\n`), content, Buffer.from('\n')]);

const modify = (name: string, entry: Entry): Buffer => {
  const mode = entry.kind === 'link' ? '120000' : entry.isExecutable ? '100755' : '100644';
  const content = entry.kind === 'link' ? entry.target : entry.content;
  return Buffer.concat([Buffer.from(`M ${mode} inline ${quoted(name)}\n`), data(content)]);
};

export interface History {
  /** For git-fast-import(1); the branch is `main`. */
  readonly stream: Buffer;
  readonly hasMerge: boolean;
}

/** Some commits with files of all kinds, and often a merge. */
export const randomHistory = (random: Random): History => {
  const parts: Buffer[] = [];
  let mark = 0;
  const commit = (branch: string, parents: readonly number[]): number => {
    mark++;
    const [first, ...others] = parents;
    parts.push(
      Buffer.from(
        `commit refs/heads/${branch}\nmark :${String(mark)}\ncommitter A <a@example.org> ${String(1_700_000_000 + mark)} +0000\n`,
      ),
      data(Buffer.from(`commit ${String(mark)}`)),
      ...(first === undefined ? [] : [Buffer.from(`from :${String(first)}\n`)]),
      ...others.map((each) => Buffer.from(`merge :${String(each)}\n`)),
    );
    for (let files = 1 + random.below(5); files > 0; files--) {
      const name = randomName(random);
      if (first !== undefined && random.chance(0.2)) parts.push(Buffer.from(`D ${quoted(name)}\n`));
      else parts.push(modify(name, randomEntry(random)));
    }
    parts.push(Buffer.from('\n'));
    return mark;
  };
  let head = commit('main', []);
  for (let more = random.below(3); more > 0; more--) head = commit('main', [head]);
  const hasMerge = random.chance(0.4);
  if (hasMerge) {
    const side = commit('side', [head]);
    head = commit('main', [head]);
    commit('main', [head, side]);
  }
  return { stream: Buffer.concat(parts), hasMerge };
};
