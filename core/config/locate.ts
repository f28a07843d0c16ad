/**
 * The 1-based line on which a key stands in a TOML text, or of the nearest table or key above it in the
 * path. smol-toml tells positions of syntax errors only, so this reads headers and keys once more;
 * quoted keys and inline tables end at the line of their parent.
 */
export const locateKey = (text: string, path: readonly PropertyKey[]): number | undefined => {
  const wanted = path.map(String);
  let table: string[] = [];
  const seen = new Map<string, number>();
  let best: { line: number; depth: number } | undefined;
  const consider = (here: readonly string[], line: number): void => {
    const matches = here.every((part, index) => part === wanted[index]);
    if (!matches || here.length > wanted.length) return;
    if (best === undefined || here.length > best.depth) best = { line, depth: here.length };
  };
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim();
    const array = /^\[\[\s*([^\]]+?)\s*\]\]/.exec(line);
    const header = /^\[\s*([^[\]]+?)\s*\]/.exec(line);
    if (array !== null) {
      const name = array[1] ?? '';
      const count = seen.get(name) ?? 0;
      seen.set(name, count + 1);
      table = [...splitKey(name), String(count)];
      consider(table, index + 1);
    } else if (header !== null) {
      table = splitKey(header[1] ?? '');
      consider(table, index + 1);
    } else {
      const key = /^([A-Za-z0-9_."'-]+(?:\s*\.\s*[A-Za-z0-9_"'-]+)*)\s*=/.exec(line);
      if (key !== null) consider([...table, ...splitKey(key[1] ?? '')], index + 1);
    }
  });
  return best?.line;
};

const splitKey = (key: string): string[] =>
  key.split('.').map((part) => part.trim().replace(/^["']|["']$/g, ''));
