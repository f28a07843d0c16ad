import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** What the program in proc-text/ is asked for. */
type Kind = '4' | '6' | 'm' | 'l' | 'c';

const guest = join(import.meta.dirname, '..', '..', '..', 'capabilities', 'vsock-agent', 'guest');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bgr-t-'));
  const sources = [join(import.meta.dirname, 'proc-text', 'main.c'), join(guest, 'proc.c')];
  const sanitize = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const flags = ['-std=gnu11', '-g', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE', ...sanitize];
  await promisify(execFile)('cc', [...flags, `-I${guest}`, '-o', join(folder, 'main'), ...sources]);
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

/** All in one process: the sanitizer ends it at the first mistake. */
const parseAll = async (texts: readonly (readonly [Kind, string | Uint8Array])[]) => {
  const child = spawn(join(folder, 'main'), { stdio: ['pipe', 'pipe', 'pipe'] });
  const input = texts.flatMap(([kind, content]) => {
    const body = Buffer.from(content);
    const head = Buffer.alloc(5);
    head.write(kind);
    head.writeUInt32BE(body.length, 1);
    return [head, body];
  });
  child.stdin.end(Buffer.concat(input));
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect(errors).toBe('');
  const answers = out.trimEnd().split('\n');
  expect(answers).toHaveLength(texts.length);
  return answers.map((line): unknown => JSON.parse(line));
};

const parse = async (kind: Kind, content: string): Promise<unknown> =>
  (await parseAll([[kind, content]]))[0];

const header =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
/** As get_tcp4_sock() of net/ipv4/tcp_ipv4.c writes it. */
const line = (local: string, remote: string, state: string, inode: string): string =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 ffff8881 100 0 0 10 0\n`;

describe('/proc/net', () => {
  it('tells address, port, state and inode', async () => {
    const content =
      header +
      line('0100007F:0016', '00000000:0000', '0A', '4711') +
      line('0200A8C0:D431', '01010101:01BB', '01', '18446744073709551609') +
      line('0200A8C0:0016', '0200A8C0:D432', '01', '7');
    expect(await parse('4', content.replace('18446744073709551609', '9007199254740991'))).toEqual([
      { address: '7f000001', port: 22, state: 10, localOnly: false, inode: 4711 },
      { address: 'c0a80002', port: 54_321, state: 1, localOnly: false, inode: 9007199254740991 },
      { address: 'c0a80002', port: 22, state: 1, localOnly: true, inode: 7 },
    ]);
  });

  it('tells IPv6 in its own order, and whether the other end is of this guest', async () => {
    const any = '0'.repeat(32);
    const loopback = `${'0'.repeat(24)}01000000`;
    const mapped = '0000000000000000FFFF00000100007F';
    const other = 'B80D0120000000000000000001000000';
    const content =
      header +
      line(`${any}:0050`, `${any}:0000`, '0A', '1') +
      line(`${other}:0050`, `${loopback}:1000`, '01', '2') +
      line(`${other}:0050`, `${mapped}:1000`, '01', '3') +
      line(`${any}:0050`, `${other}:1000`, '01', '4');
    expect(await parse('6', content)).toMatchObject([
      { address: '0'.repeat(32), port: 80, state: 10 },
      { address: '20010db8000000000000000000000001', localOnly: true },
      { localOnly: true },
      { localOnly: false, inode: 4 },
    ]);
  });

  it('leaves out the line that was cut off, and one that makes no sense', async () => {
    const good = line('0100007F:0016', '00000000:0000', '0A', '4711');
    expect(await parse('4', header + good + good.slice(0, -1))).toHaveLength(1);
    expect(await parse('4', `${header}   1: rubbish\n${good}`)).toHaveLength(1);
    expect(await parse('4', line('0100007F:0016', '00000000:0000', '0A', '-1'))).toEqual([]);
    expect(await parse('4', line('0100007F:0016', '00000000:0000', '0A', '9'.repeat(30)))).toEqual(
      [],
    );
    expect(await parse('4', '')).toEqual([]);
  });
});

describe('the other texts', () => {
  it('of memory', async () => {
    const content =
      'MemTotal:         481404 kB\nMemFree:          373388 kB\nMemAvailable:     404488 kB\n' +
      'SwapCached:            0 kB\nSwapTotal:          1024 kB\nSwapFree:            512 kB\n';
    expect(await parse('m', content)).toEqual([481404, 404488, 1024, 512].map((kib) => kib * 1024));
    // Before Linux 3.14, and where there is no swap.
    expect(await parse('m', content.replace('MemAvailable', 'Whatever'))).toBeNull();
    expect(await parse('m', content.replaceAll('Swap', 'Xwap'))).toEqual([
      481404 * 1024,
      404488 * 1024,
      0,
      0,
    ]);
    expect(await parse('m', content.replace('481404', '99999999999999999999'))).toBeNull();
  });

  it('of load', async () => {
    expect(await parse('l', '0.05 1.50 12.00 2/60 4711\n')).toEqual([5, 150, 1200]);
    for (const bad of ['', '0.05', '0.05 1.5 12.00 ', '0.05 x', '9999999.00 0.00 0.00'])
      expect(await parse('l', bad)).toBeNull();
  });

  it('of CPU time, of which waiting and idling is not busy', async () => {
    const content =
      'cpu  10 20 30 400 50 6 7 8 900 900\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu1 1 2 3 4 5 6 7 8 0 0\nintr 1 2\n';
    expect(await parse('c', content)).toEqual([81, 531, 2]);
    expect(await parse('c', 'cpu  1 2 3\ncpu0 1\n')).toBeNull();
    expect(await parse('c', 'cpu  1 2 3 4 5 6 7 8\n')).toBeNull();
  });
});

it('no text at all makes the parsers read a byte too many', async () => {
  const kinds = fc.constantFrom<Kind>('4', '6', 'm', 'l', 'c');
  const piece = fc.oneof(
    fc.constantFrom(
      header,
      'cpu',
      'cpu0 ',
      ' ',
      '\n',
      ':',
      '.',
      '0A',
      'MemTotal:',
      'MemAvailable:',
    ),
    fc.constant(line('0100007F:0016', '00000000:0000', '0A', '4711')),
    fc.constant(line(`${'0'.repeat(32)}:0050`, `${'0'.repeat(32)}:0000`, '0A', '1')),
    fc.nat().map(String),
    fc.string({ unit: 'binary' }),
  );
  const content = fc
    .tuple(fc.array(piece, { maxLength: 12 }), fc.nat(400))
    .map(([pieces, cut]) => pieces.join('').slice(0, -cut || undefined));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(kinds, content), { minLength: 50, maxLength: 50 }),
      async (texts) => {
        await parseAll(texts);
      },
    ),
    { numRuns: 40 },
  );
});
