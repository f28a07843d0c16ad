import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BangerError } from '../../../../core/errors.ts';
import { createExecutor, executorPath } from '../../../../core/host/create-executor.ts';
import { openHelpersLock, type HelpersLock } from '../../../../core/host/helpers-lock.ts';
import type { Claims, Guest, VmRecord } from '../../../../core/plugin-api/index.ts';
import { workspaceCapability } from '../../../../capabilities/workspace/index.ts';
import type { Handlers } from '../../../../core/capability.ts';
import type { OperationContext } from '../../../../core/plugin-api/index.ts';
import type { Ledger } from '../../../../core/ledger/ledger.ts';
import type { ClaimRows } from '../../../../core/ledger/rows.ts';
import type { Store } from '../../../../core/store/store.ts';
import { createTestLedger, testHost } from '../../../support/ledger.ts';
import { silentLog } from '../../../support/silent-log.ts';
import { localGuest } from './local-guest.ts';

const never = new AbortController().signal;

export interface Ran {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface GitWorldOptions {
  readonly config?: object;
  readonly guestEnv?: Readonly<Record<string, string>>;
  /** A guest elsewhere, and where its repository is to be. */
  readonly elsewhere?: { readonly guest: Guest; readonly path: string };
}

/** Folders of the test's own for the host and for the guest, and the capability between them. */
export class GitWorld implements AsyncDisposable {
  readonly root: string;
  readonly host: string;
  /** Where the repository is for the guest. */
  readonly guestPath: string;
  /** Where it can be read and changed here. */
  readonly mirror: string;
  readonly state: string;
  readonly ledger: Ledger;
  readonly rows: ClaimRows;
  readonly notices: string[] = [];
  readonly power: { isOn: boolean };
  readonly #store: Store;
  readonly #lock: HelpersLock;
  readonly handlers: Handlers;
  readonly vm: VmRecord;

  private constructor(
    root: string,
    lock: HelpersLock,
    kept: { ledger: Ledger; rows: ClaimRows; store: Store },
    { handlers, power }: { handlers: Handlers; power: { isOn: boolean } },
    vm: VmRecord,
    elsewhere: string | undefined,
  ) {
    this.root = root;
    this.host = join(root, 'host');
    this.mirror = join(root, 'guest', 'repo');
    this.guestPath = elsewhere ?? this.mirror;
    this.state = join(root, 'state');
    this.ledger = kept.ledger;
    this.rows = kept.rows;
    this.#store = kept.store;
    this.#lock = lock;
    this.vm = vm;
    this.handlers = handlers;
    this.power = power;
  }

  static async create(options: GitWorldOptions = {}): Promise<GitWorld> {
    const root = await realpath(await mkdtemp(join(tmpdir(), 'bgr-ws-')));
    for (const name of ['host', 'guest', 'state', 'home']) await mkdir(join(root, name));
    const lock = await openHelpersLock(join(root, 'lock'), () => undefined);
    const exec = createExecutor({
      log: silentLog,
      helpersLock: lock,
      path: executorPath(process.env['PATH']),
      isRoot: process.getuid?.() === 0,
    });
    const capability = workspaceCapability;
    const host = testHost(join(root, 'state'), exec);
    const kept = await createTestLedger([capability], host);
    const vm: VmRecord = {
      id: 'vm-1',
      name: 'box',
      image: 'i',
      vcpus: 1,
      memoryMib: 64,
      diskBytes: 1,
      nat: true,
      ephemeral: false,
      createdAt: 'now',
    };
    const power = { isOn: true };
    const handlers = await capability.setup({
      config: capability.config.parse(options.config ?? {}),
      services: {
        vms: {
          get: () => vm,
          isRunning: () => power.isOn,
          assertRunning: () => {
            if (!power.isOn) throw new BangerError('VM_NOT_RUNNING', 'it is off');
          },
        },
        guests: {
          of: () =>
            options.elsewhere?.guest ??
            localGuest(join(root, 'guest'), {
              PATH: `${join(root, 'guest-bin')}:${process.env['PATH'] ?? ''}`,
              ...options.guestEnv,
            }),
        },
      },
      claims: kept.ledger.bind(capability, null, never),
      claimsOf: ({ id }, signal) =>
        kept.ledger.bind(capability, { vmId: id, runId: 'run-1', isUnwound: false }, signal),
      exec,
      instance: host.instance,
      directory: host.directory,
      configDirectory: '/nowhere',
      cacheDirectory: '/nowhere',
      log: silentLog,
    });
    return new GitWorld(root, lock, kept, { handlers, power }, vm, options.elsewhere?.path);
  }

  readonly operation: OperationContext = {
    id: 'operation-1',
    kind: 'test',
    signal: never,
    log: silentLog,
    progress: () => undefined,
    notice: (text) => {
      this.notices.push(text);
    },
  };

  /** A program that the guest finds before any other of its name. */
  async putGuestProgram(name: string, script: string): Promise<void> {
    const folder = join(this.root, 'guest-bin');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, name), `#!/bin/sh\n${script}`, { mode: 0o755 });
  }

  /** As hooks get them. */
  claims(): Claims {
    return this.ledger.bind(workspaceCapability, { vmId: this.vm.id, runId: 'run-1' }, never);
  }

  /** The output's type is the caller's to name. */
  async action<T>(name: string, input: object): Promise<T> {
    const action = this.handlers.actions?.[name];
    if (action === undefined) throw new Error(`no action ${name}`);
    return (await action.run(input, this.operation)) as T;
  }

  prepare<T>(input: object = {}): Promise<T> {
    return this.action('prepare', {
      vm: 'box',
      path: this.host,
      guestPath: this.guestPath,
      ...input,
    });
  }

  /** git as the user runs it, with nobody's settings. @throws Error unless it exits with 0 */
  async git(cwd: string, args: readonly string[], input?: Buffer): Promise<string> {
    const ran = await this.run('git', args, cwd, input);
    if (ran.code !== 0) throw new Error(`git ${args.join(' ')}: ${ran.stderr}`);
    return ran.stdout.toString('latin1').replace(/\n$/, '');
  }

  run(
    file: string,
    args: readonly string[],
    cwd: string,
    input?: Buffer,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Ran> {
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, {
        cwd,
        env: {
          PATH: process.env['PATH'],
          HOME: join(this.root, 'home'),
          GIT_CONFIG_NOSYSTEM: '1',
          GIT_AUTHOR_NAME: 'A',
          GIT_AUTHOR_EMAIL: 'a@example.org',
          GIT_COMMITTER_NAME: 'A',
          GIT_COMMITTER_EMAIL: 'a@example.org',
          ...env,
        },
      });
      const out: Buffer[] = [];
      let stderr = '';
      child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.once('error', reject);
      child.once('close', (code) => {
        resolve({ code: code ?? 255, stdout: Buffer.concat(out), stderr });
      });
      child.stdin.on('error', () => undefined).end(input);
    });
  }

  async dispose(): Promise<void> {
    this.#store.close();
    await this.#lock.close();
    await rm(this.root, { recursive: true, force: true });
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
