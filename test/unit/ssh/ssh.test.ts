import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configuredKey, ownKey } from '../../../capabilities/ssh/client-key.ts';
import { connect, type ConnectOptions } from '../../../capabilities/ssh/connect.ts';
import { generateKey } from '../../../capabilities/ssh/generate-key.ts';
import { waitForSsh, type Login } from '../../../capabilities/ssh/handshake.ts';
import { ensureHostKey, hostKeyBlob, hostKeySeed } from '../../../capabilities/ssh/host-key.ts';
import type { SshIdentity } from '../../../capabilities/ssh/identity.ts';
import { sshCapability } from '../../../capabilities/ssh/index.ts';
import type { Claims } from '../../../core/claim.ts';
import { BangerError } from '../../../core/errors.ts';
import { createExecutor, executorPath } from '../../../core/host/create-executor.ts';
import type { Executor } from '../../../core/host/executor.ts';
import { openHelpersLock, type HelpersLock } from '../../../core/host/helpers-lock.ts';
import type { PathObserved } from '../../../core/host/owned-path.ts';
import type { ExecSession } from '../../../core/plugin-api/services/guest.ts';
import type { Ledger } from '../../../core/ledger/ledger.ts';
import type { Store } from '../../../core/store/store.ts';
import type { VmRecord } from '../../../core/vm/record.ts';
import { createTestLedger, testHost } from '../../support/ledger.ts';
import { silentLog } from '../../support/silent-log.ts';
import { serveSsh, type SshServer } from './server.ts';

const run = promisify(execFile);
const never = new AbortController().signal;

const vm: VmRecord = {
  id: 'vm-1',
  name: 'box',
  image: 'none',
  vcpus: 1,
  memoryMib: 256,
  diskBytes: 2 ** 30,
  nat: true,
  ephemeral: false,
  createdAt: '2026-01-01T00:00:00Z',
};

describe('ssh', () => {
  let folder: string;
  let lock: HelpersLock;
  let exec: Executor;
  let ledger: Ledger;
  let store: Store;
  const open: (SshServer | { close(): Promise<void> })[] = [];

  beforeEach(async () => {
    // The space and the percent sign are what OpenSSH's options need quotes for.
    folder = await mkdtemp(join(tmpdir(), 'banger ssh%h-'));
    await mkdir(join(folder, 'state'));
    lock = await openHelpersLock(join(folder, 'lock'), () => undefined);
    exec = createExecutor({
      log: silentLog,
      helpersLock: lock,
      path: executorPath(process.env['PATH']),
      isRoot: true,
    });
    ({ ledger, store } = await createTestLedger(
      [sshCapability],
      testHost(join(folder, 'state'), exec),
    ));
  });
  afterEach(async () => {
    for (const each of open.splice(0)) await each.close();
    store.close();
    await lock.close();
    await rm(folder, { recursive: true });
  });

  const claimsOf = (owner: { vmId: string; runId: string } | null) =>
    ledger.bind(sshCapability, owner, never) as Claims<SshIdentity, PathObserved>;
  const ofVm = () => claimsOf({ vmId: vm.id, runId: 'run-1' });
  const hostKey = () => ensureHostKey(vm, join(folder, 'state'), exec, ofVm());
  const keyPair = async (
    name: string,
  ): Promise<{ path: string; private: string; public: string }> => {
    const path = join(folder, name);
    await generateKey(exec, path, name);
    return {
      path,
      private: await readFile(path, 'utf8'),
      public: await readFile(`${path}.pub`, 'utf8'),
    };
  };
  const serve = async (...args: Parameters<typeof serveSsh>): Promise<SshServer> => {
    const server = await serveSsh(...args);
    open.push(server);
    return server;
  };
  const blob = (publicKey: string): string => publicKey.split(' ')[1] ?? '';

  describe('banger’s own key', () => {
    it('is made once, for this user alone', async () => {
      const config = join(folder, 'config', 'ssh');
      const made = await ownKey(exec, config);
      expect(await ownKey(exec, config)).toEqual(made);
      expect((await stat(made.privatePath)).mode & 0o777).toBe(0o600);
      expect((await readdir(config)).sort()).toEqual(['id_ed25519', 'id_ed25519.pub']);
    });

    it('is one key where several make it at once', async () => {
      const config = join(folder, 'config', 'ssh');
      const made = await Promise.all([1, 2, 3, 4].map(() => ownKey(exec, config)));
      const { stdout } = await run('ssh-keygen', ['-y', '-f', join(config, 'id_ed25519')]);
      for (const { publicKey } of [...made, await ownKey(exec, config)])
        expect(publicKey).toBe(stdout.trim());
      expect((await readdir(config)).sort()).toEqual(['id_ed25519', 'id_ed25519.pub']);
    });

    it('gets its public half back', async () => {
      const { privatePath, publicKey } = await ownKey(exec, folder);
      await rm(`${privatePath}.pub`);
      expect((await ownKey(exec, folder)).publicKey).toBe(publicKey);
      expect((await readFile(`${privatePath}.pub`, 'utf8')).trim()).toBe(publicKey);
    });
  });

  describe('a configured key', () => {
    it('needs no public half beside it', async () => {
      const key = await keyPair('mine');
      expect((await configuredKey(exec, key.path)).publicKey).toBe(key.public.trim());
      await rm(`${key.path}.pub`);
      expect((await configuredKey(exec, key.path)).publicKey).toBe(key.public.trim());
    });

    it('that is absent, no key, or needs a passphrase is named', async () => {
      await writeFile(join(folder, 'junk'), 'junk', { mode: 0o600 });
      await run('ssh-keygen', [
        '-q',
        '-t',
        'ed25519',
        '-N',
        'secret',
        '-f',
        join(folder, 'locked'),
      ]);
      // Its public half beside it does not open it.
      for (const name of ['absent', 'junk', 'locked']) {
        await expect(configuredKey(exec, join(folder, name))).rejects.toMatchObject({
          code: 'CONFIG_INVALID',
          message: expect.stringContaining(join(folder, name)) as string,
        });
      }
    });
  });

  describe('a guest’s host key', () => {
    it('is kept from start to start, and goes with the VM', async () => {
      const path = await hostKey();
      const seed = await hostKeySeed(path);
      expect(await hostKey()).toBe(path);
      expect(await hostKeySeed(path)).toEqual(seed);
      expect(seed.map((file) => [file.kind, file.path, file.mode])).toEqual([
        ['file', '/etc/ssh/ssh_host_ed25519_key', 0o600],
        ['file', '/etc/ssh/ssh_host_ed25519_key.pub', 0o644],
      ]);
      expect(await readFile(join(path, 'known_hosts'), 'utf8')).toBe(
        `box ssh-ed25519 ${await hostKeyBlob(path)}\n`,
      );
      expect(await ledger.unwind({ ownerId: vm.id })).toEqual([]);
      expect(await readdir(join(folder, 'state'))).toEqual([]);
    });

    it('that is lost is not silently another one', async () => {
      await rm(await hostKey(), { recursive: true });
      await expect(hostKey()).rejects.toMatchObject({ code: 'VM_NOT_CLEAN' });
    });
  });

  describe('readiness', () => {
    const login = async (
      change: Partial<Login> = {},
    ): Promise<{
      login: Login;
      guest: { private: string; public: string };
      client: { public: string };
    }> => {
      const [guest, client] = [await keyPair('guest'), await keyPair('client')];
      return {
        guest,
        client,
        login: {
          host: '127.0.0.1',
          port: 1,
          user: 'root',
          privateKey: client.private,
          hostKey: blob(guest.public),
          ...change,
        },
      };
    };

    it('is a login', async () => {
      const { login: target, guest, client } = await login();
      const server = await serve(guest.private, client.public);
      await waitForSsh({ ...target, port: server.port }, 10_000, never);
      expect(server.logins()).toBe(1);
    });

    it('waits for a server that comes up later', async () => {
      const { login: target, guest, client } = await login();
      const free = await serveSsh(guest.private, client.public);
      await free.close();
      const waiting = waitForSsh({ ...target, port: free.port }, 10_000, never);
      await delay(250); // several attempts are refused meanwhile
      const server = await serve(guest.private, client.public, free.port);
      await waiting;
      expect(server.logins()).toBe(1);
    });

    it('is never a server with another host key', async () => {
      const { login: target, client } = await login();
      const server = await serve((await keyPair('other')).private, client.public);
      const started = performance.now();
      await expect(
        waitForSsh({ ...target, port: server.port }, 10_000, never),
      ).rejects.toMatchObject({
        code: 'SSH_UNREACHABLE',
        message: expect.stringContaining('another host key') as string,
      });
      expect(performance.now() - started).toBeLessThan(5_000);
      expect(server.logins()).toBe(0);
    });

    it('is not a server that does not take the key', async () => {
      const { login: target, guest } = await login();
      const server = await serve(guest.private, (await keyPair('other')).public);
      await expect(
        waitForSsh({ ...target, port: server.port }, 10_000, never),
      ).rejects.toMatchObject({
        code: 'SSH_UNREACHABLE',
        message: expect.stringContaining('does not take our key') as string,
      });
    });

    describe('of what never answers', () => {
      let mute: Server;
      let port: number;
      beforeEach(async () => {
        mute = createServer((socket) => socket.resume());
        await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
        ({ port } = mute.address() as AddressInfo);
        open.push({
          close: () =>
            new Promise((resolve) => {
              mute.close(() => {
                resolve();
              });
            }),
        });
      });

      it('ends with the deadline', async () => {
        const { login: target } = await login({ port });
        await expect(waitForSsh(target, 400, never)).rejects.toMatchObject({
          code: 'SSH_UNREACHABLE',
          message: expect.stringContaining('within 0.4 s') as string,
        });
      });

      it('ends with the operation', async () => {
        const { login: target } = await login({ port });
        const cancel = new AbortController();
        const waiting = waitForSsh(target, 60_000, cancel.signal);
        const reason = new BangerError('OPERATION_CANCELLED', 'cancelled');
        setTimeout(() => {
          cancel.abort(reason);
        }, 100);
        await expect(waiting).rejects.toBe(reason);
      });
    });
  });

  describe('connect', () => {
    const unreachable = (): never => {
      throw new BangerError('GUEST_UNREACHABLE', 'nobody is there');
    };
    const ended = (code: number): ExecSession => ({
      write: unreachable,
      endInput: unreachable,
      signal: unreachable,
      resize: unreachable,
      result: Promise.resolve({ kind: 'exit', code }),
    });
    const notRunning = (): never => {
      throw new BangerError('VM_NOT_RUNNING', 'it does not run');
    };
    const options = (change: Partial<ConnectOptions> = {}): ConnectOptions => ({
      vms: {
        get: (name) => {
          if (name !== vm.name) throw new BangerError('VM_UNKNOWN', `no VM '${name}'`);
          return vm;
        },
        assertRunning: () => undefined,
        guest: unreachable,
      },
      addresses: {
        of: () => ({ address: '127.0.0.1', prefixLength: 8, gateway: '127.0.0.1', bridge: 'lo' }),
      },
      claims: claimsOf(null),
      readyTimeoutMs: 10_000,
      port: 1,
      clientKey: () => ownKey(exec, join(folder, 'config')),
      ...change,
    });

    it('says all that OpenSSH needs to log in, and to refuse any other server', async () => {
      const path = await hostKey();
      const guestKey = await readFile(join(path, 'ssh_host_ed25519_key'), 'utf8');
      const { publicKey } = await ownKey(exec, join(folder, 'config'));
      const server = await serve(guestKey, publicKey);
      const target = await connect(vm.name, options({ port: server.port }), never);
      const ssh = (port: number) =>
        run('ssh', [
          ...target.options.flatMap((option) => ['-o', option]),
          ...['-p', String(port), `${target.user}@${target.host}`, '--', 'true'],
        ]);
      expect((await ssh(server.port)).stdout).toBe('ran true\n');
      const other = await serve((await keyPair('other')).private, publicKey);
      await expect(ssh(other.port)).rejects.toMatchObject({
        stderr: expect.stringContaining('Host key verification failed') as string,
      });
      expect(other.logins()).toBe(0);
    });

    it('says at once where the image has no server, and waits for one that comes', async () => {
      await hostKey();
      const answer = (code: number): ConnectOptions['vms'] => ({
        ...options().vms,
        guest: () => ({ exec: async () => ended(code) }),
      });
      const none = connect(vm.name, options({ vms: answer(127), readyTimeoutMs: 600_000 }), never);
      await expect(none).rejects.toMatchObject({
        code: 'SSH_UNREACHABLE',
        message: "there is no SSH server in VM 'box'",
        remedy: expect.stringContaining('banger vm exec box') as string,
      });
      const late = connect(vm.name, options({ vms: answer(0), readyTimeoutMs: 300 }), never);
      await expect(late).rejects.toThrow(/no SSH login .* ECONNREFUSED/);
    });

    it.each([
      ['an unknown VM', 'VM_UNKNOWN', () => options(), 'nobody'],
      [
        'a VM that does not run',
        'VM_NOT_RUNNING',
        () => options({ vms: { get: () => vm, assertRunning: notRunning, guest: unreachable } }),
        'box',
      ],
      ['a VM without a network', 'SSH_UNREACHABLE', () => options({ addresses: undefined }), 'box'],
      ['a VM that was started without keys', 'SSH_UNREACHABLE', () => options(), 'box'],
    ])('refuses %s', async (_, code, given, name) => {
      await expect(connect(name, given(), never)).rejects.toMatchObject({ code });
    });
  });

  it('has settings with defaults, and refuses others', () => {
    const { config } = sshCapability;
    expect(config.parse({})).toEqual({ ready_timeout: 60 });
    for (const wrong of [{ key: 'id_rsa' }, { ready_timeout: 0 }, { keys: [] }])
      expect(config.safeParse(wrong).success).toBe(false);
  });
});
