import fc from 'fast-check';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Qmp } from '../../../capabilities/qemu/qmp.ts';
import { deadlineSignal } from '../../../core/deadline.ts';
import { BangerError } from '../../../core/errors.ts';

const usual = '{"QMP":{}}\n';

/** Who has got hold of QEMU says what he likes. */
describe('a hostile QEMU', () => {
  let folder: string;
  let server: Server;
  let path: string;
  let greeting: string;
  let script: readonly (string | Uint8Array)[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bgr-qmp-'));
    path = join(folder, 'qmp');
    server = createServer((socket: Socket) => {
      socket.on('error', () => undefined);
      socket.write(greeting);
      // It keeps to the protocol up to the first command that matters.
      socket.once('data', () => {
        socket.write('{"return":{},"id":1}\n');
        socket.once('data', () => {
          for (const part of script) socket.write(part);
          socket.end();
        });
      });
    }).listen(path);
    await once(server, 'listening');
  });
  afterEach(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });

  const outcome = async (): Promise<unknown> => {
    try {
      const qmp = await Qmp.connect(path, deadlineSignal(10_000));
      const answer = await qmp.execute('quit').catch((error: unknown) => error);
      await qmp.closed;
      return answer;
    } catch (error) {
      return error;
    }
  };

  it('ends what waits by an error of ours, or an answer', async () => {
    // 2 is the command that waits, so that there are answers in every run of this test.
    const id = fc.oneof(fc.constant(2), fc.nat(3), fc.jsonValue());
    const near = fc.oneof(
      fc.record({ QMP: fc.jsonValue() }),
      { weight: 3, arbitrary: fc.record({ return: fc.jsonValue(), id }) },
      fc.record({ error: fc.record({ class: fc.string(), desc: fc.string() }), id: fc.nat(4) }),
      fc.record({ event: fc.constantFrom('SHUTDOWN', 'x'), data: fc.jsonValue() }),
      fc.record({ event: fc.constant('SHUTDOWN'), data: fc.record({ reason: fc.jsonValue() }) }),
      fc.jsonValue(),
    );
    const line = fc.oneof(
      { weight: 3, arbitrary: near.map((value) => `${JSON.stringify(value)}\n`) },
      fc.string().map((text) => `${text}\n`),
      fc.uint8Array({ maxLength: 40 }),
    );
    const greeted = fc.oneof(
      fc.constant(usual),
      fc.constant(usual),
      fc.jsonValue().map((value) => `${JSON.stringify(value)}\n`),
    );
    let answers = 0;
    await fc.assert(
      fc.asyncProperty(greeted, fc.array(line, { maxLength: 6 }), async (first, lines) => {
        greeting = first;
        script = lines;
        const answer = await outcome();
        if (!(answer instanceof Error)) answers++;
        else if (!(answer instanceof BangerError && answer.code === 'VMM_FAILED')) throw answer;
      }),
      { numRuns: 300 },
    );
    // Else it is a property of refusals alone.
    expect(answers).toBeGreaterThan(0);
  });

  it('may give a reason that is no text', async () => {
    greeting = usual;
    script = [
      '{"event":"SHUTDOWN","data":{"reason":{"toString":1}}}\n',
      '{"return":{"then":1},"id":2}\n',
    ];
    expect(await outcome()).toEqual({ then: 1 });
  });

  it('is cut off in a line that does not end', async () => {
    greeting = usual;
    script = Array.from({ length: 64 }, () => Buffer.alloc(64 * 1024, 0x20));
    expect(await outcome()).toMatchObject({ code: 'VMM_FAILED' });
  });
});
