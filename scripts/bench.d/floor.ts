import { spawn } from 'node:child_process';
import { copyFile, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { agentPorts, agentSocket } from '../../capabilities/qemu/args.ts';
import { Agent } from '../../capabilities/vsock-agent/agent.ts';
import { chardev } from '../../capabilities/vsock-agent/connect.ts';
import { ConnectionPool } from '../../capabilities/vsock-agent/pool.ts';
import type { World } from './world.ts';

const readyDeadlineMs = 120_000;

interface Disk {
  /** As in the product's arguments. */
  readonly from: string;
  readonly path: string;
  /** A disk that no guest has written to. */
  readonly pristine: string;
}

/**
 * The least that a boot can take: the product's own QEMU arguments, taken from a VM of the product, with a
 * ready copy of its disks, its initrd with the seed, and a tap. Nothing else is done between exec and
 * the agent's first answer.
 */
export class Floor {
  readonly #world: World;
  readonly #folder: string;
  readonly #tap = `bgrbench${String(process.pid % 100_000)}`;
  #argv: readonly string[] = [];
  #disks: readonly Disk[] = [];

  constructor(world: World) {
    this.#world = world;
    this.#folder = join(world.folder, 'f');
  }

  /** @param pid of the product's VM, which runs; its initrd and disks are copied */
  async prepare(pid: number): Promise<void> {
    await mkdir(this.#folder);
    const argv = (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8')).split('\0').slice(0, -1);
    const disks: Disk[] = [];
    const initrd = join(this.#folder, 'initrd.cpio');
    this.#argv = await Promise.all(
      argv.map(async (arg, index) => {
        const option = argv[index - 1];
        if (option === '-name') return 'banger-bench-floor';
        // The product's leads to a pipe.
        if (option === '-serial') return 'file:console.log';
        if (option === '-initrd') {
          await copyFile(arg, initrd);
          return initrd;
        }
        if (option === '-netdev') return arg.replace(/ifname=[^,]*/, `ifname=${this.#tap}`);
        if (option !== '-drive') return arg;
        const id = /^id=([^,]*)/.exec(arg)?.[1] ?? '';
        const from = /,file=([^,]*),/.exec(arg)?.[1] ?? '';
        const path = join(this.#folder, id);
        disks.push({ from, path, pristine: `${path}.pristine` });
        return arg.replace(from, path);
      }),
    );
    this.#disks = disks;
    const { exec } = this.#world;
    await exec.run('ip', ['tuntap', 'add', 'dev', this.#tap, 'mode', 'tap', ...this.#owner()], {
      privileged: true,
    });
    await exec.run('ip', ['link', 'set', this.#tap, 'up'], { privileged: true });
  }

  /** An ordinary user's QEMU opens the tap as that user. */
  #owner(): string[] {
    return ['user', String(process.getuid?.() ?? 0)];
  }

  /** Makes disks as the product does at a first start, from the same image. */
  async makePristine(image: { readonly root: string; readonly work: string }): Promise<void> {
    const { exec } = this.#world;
    for (const disk of this.#disks) {
      if (disk.from.endsWith('.qcow2')) {
        const args = ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', image.root, disk.pristine];
        await exec.run('qemu-img', args);
      } else {
        const source = disk.path.endsWith('work') ? image.work : image.root;
        await exec.run('cp', ['--sparse=always', '--reflink=auto', source, disk.pristine]);
      }
    }
  }

  /** One boot. @returns milliseconds from exec to the agent's first answer */
  async boot(): Promise<number> {
    for (const { pristine, path } of this.#disks)
      await this.#world.exec.run('cp', ['--sparse=always', '--reflink=auto', pristine, path]);
    const [file = '', ...args] = this.#argv;
    const log = await open(join(this.#folder, 'vmm.log'), 'a');
    const agent = new Agent(
      new ConnectionPool(
        Array.from({ length: agentPorts }, (_, port) =>
          chardev(join(this.#folder, agentSocket(port))),
        ),
      ),
    );
    const started = performance.now();
    const child = spawn(file, args, { cwd: this.#folder, stdio: ['ignore', log.fd, log.fd] });
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const failed = gone.then(() => {
      throw new Error(`the floor’s QEMU ended; see ${this.#folder}/vmm.log`);
    });
    try {
      await Promise.race([agent.waitReady({ deadlineMs: readyDeadlineMs }), failed]);
      return performance.now() - started;
    } finally {
      agent.close();
      child.kill('SIGKILL');
      await gone;
      await log.close();
      for (const { path } of this.#disks) await rm(path, { force: true });
    }
  }

  async destroy(): Promise<void> {
    if (this.#argv.length === 0) return;
    await this.#world.exec.run('ip', ['link', 'delete', 'dev', this.#tap], {
      privileged: true,
      okCodes: [0, 1],
    });
  }
}
