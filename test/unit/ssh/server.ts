import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Server, utils, type ParsedKey } from 'ssh2';

export interface SshServer {
  readonly port: number;
  /** Logins that were let in. */
  readonly logins: () => number;
  close(): Promise<void>;
}

const parsed = (text: string): ParsedKey => {
  const key = utils.parseKey(text);
  if (key instanceof Error) throw key;
  return key;
};

/** A real SSH server on loopback, in place of a guest's sshd. */
export const serveSsh = async (
  hostKey: string,
  authorizedKey: string,
  port = 0,
): Promise<SshServer> => {
  const authorized = parsed(authorizedKey);
  let logins = 0;
  const server = new Server({ hostKeys: [hostKey] }, (client) => {
    client.on('error', () => client.end());
    client.on('authentication', (request) => {
      const isKnown =
        request.method === 'publickey' &&
        request.username === 'root' &&
        request.key.data.equals(authorized.getPublicSSH());
      if (!isKnown) {
        request.reject(['publickey']);
        return;
      }
      const { signature, blob, hashAlgo } = request;
      if (signature === undefined || blob === undefined) {
        request.accept(); // it only asks whether the key would do
        return;
      }
      if (!authorized.verify(blob, signature, hashAlgo)) {
        request.reject(['publickey']);
        return;
      }
      logins++;
      request.accept();
    });
    client.on('session', (accept) => {
      accept().on('exec', (acceptExec, _reject, { command }) => {
        const stream = acceptExec();
        stream.write(`ran ${command}\n`);
        stream.exit(0);
        stream.end();
      });
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    logins: () => logins,
    close: async () => {
      server.close();
      await once(server, 'close');
    },
  };
};
