import fc from 'fast-check';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { waitForSsh } from '../../../capabilities/ssh/handshake.ts';
import { BangerError } from '../../../core/errors.ts';

describe('whatever a guest says in place of SSH', () => {
  it('is a login that does not come', async () => {
    let said: readonly Uint8Array[] = [];
    const server = createServer((socket) => {
      socket.on('error', () => undefined).resume();
      for (const part of said) socket.write(part);
      socket.end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const login = {
      host: '127.0.0.1',
      port,
      user: 'root',
      privateKey: privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
      hostKey: '',
    };
    const banner = fc.constantFrom('SSH-2.0-x\r\n', 'SSH-1.99-x\n', 'hello\r\nSSH-2.0-x\r\n', '');
    // Length, padding's length, message: RFC 4253 §6; 20 is KEXINIT, 1 DISCONNECT, 31 the reply with the host key.
    const packet = fc
      .tuple(fc.constantFrom(20, 1, 2, 31, 33, 255), fc.uint8Array({ maxLength: 60 }), fc.nat(20))
      .map(([type, body, padding]) => {
        const data = Buffer.alloc(4 + 2 + body.length + padding);
        data.writeUInt32BE(data.length - 4, 0);
        data.set([padding, type, ...body], 4);
        return data;
      });
    const part = fc.oneof(packet, fc.uint8Array({ maxLength: 200 }));
    await fc.assert(
      fc.asyncProperty(banner, fc.array(part, { maxLength: 4 }), async (first, rest) => {
        said = [Buffer.from(first), ...rest];
        const error: unknown = await waitForSsh(login, 20, new AbortController().signal).catch(
          (thrown: unknown) => thrown,
        );
        expect(error).toBeInstanceOf(BangerError);
        expect(error).toMatchObject({ code: 'SSH_UNREACHABLE' });
      }),
      { numRuns: 60 },
    );
    server.close();
  });
});
