import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConnectedGuests } from '../../capabilities/vsock-agent/guests.ts';
import type { StartOperation } from '../../core/operation/context.ts';
import type { VmDetails } from '../../core/api/contract/types.ts';
import type { Drive } from '../../core/vmm/machine-spec.ts';
import type { VmmDriver, VmmHandle } from '../../core/vmm/driver.ts';
import { DriverWorld } from '../host/vmm/support/driver-world.ts';
import { silentLog } from '../support/silent-log.ts';
import { vmmCapability } from './support/vmm.ts';
import { createWorld, type World } from './support/world.ts';

const never = new AbortController().signal;
const guestMs = 120_000;

/** Disks are large, and mostly holes. */
const copy = (from: string, to: string) => promisify(execFile)('cp', ['--sparse=always', from, to]);

const made = z.object({
  rootfs: z.object({ path: z.string() }),
  'work-disk': z.object({ path: z.string() }),
  'tap-pool': z.object({ tap: z.string(), mac: z.string() }),
});

/** The disks and the tap that a VM of the product has. */
const devicesOf = ({ capabilities }: VmDetails): { drives: Drive[]; tap: string; mac: string } => {
  const { rootfs, 'work-disk': work, 'tap-pool': net } = made.parse(capabilities);
  const raw = { format: 'raw', readOnly: false, durable: true } as const;
  return {
    drives: [
      { ...raw, id: 'root', path: rootfs.path },
      { ...raw, id: 'work', path: work.path },
    ],
    ...net,
  };
};

/**
 * A guest of the product, whose daemon is gone: no command of banger takes snapshots yet, so that the VMM is driven as
 * that daemon would.
 */
describe('a guest that goes on from a snapshot', () => {
  let world: World;
  let vmm: DriverWorld;
  let driver: VmmDriver;
  let operation: StartOperation;
  let drives: Drive[];
  let snapshot: string;
  const guests = new ConnectedGuests(silentLog);
  const agents = { id: 'box', name: 'box' };

  beforeAll(async () => {
    world = await createWorld({
      config:
        '[defaults]\nvcpus = 1\nmemory = "256M"\ndisk_size = "256M"\n[rootfs]\ndriver = "copy"\n',
    });
    await world.ok(['vm', 'create', '--name', 'box']);
    await world.guest('box', 'mount -t tmpfs tmpfs /mnt; echo kept > /mnt/note; sync');
    const { instance } = await world.status();
    const vm = await world.show('box');
    await world.killDaemon();

    const { capability, config } = vmmCapability(world.root);
    const directory = join(world.stateDirectory, capability.id);
    const folder = join(world.root, 'd');
    await mkdir(folder);
    vmm = await DriverWorld.create(capability, { folder, directory, instance, vmId: vm.id });
    driver = await vmm.driver(config);
    await driver.probe();
    const devices = devicesOf(vm);
    ({ drives } = devices);
    const started = vmm.start();
    operation = {
      ...started,
      machine: {
        ...started.machine,
        memoryMib: 256,
        drives,
        nics: [{ id: 'net0', tap: devices.tap, mac: devices.mac }],
      },
    };

    const handle = await driver.attach(operation, vmm.claims());
    if (handle?.pause === undefined || handle.snapshot === undefined)
      throw new Error('it runs no more, or cannot be taken');
    snapshot = join(world.root, 'snapshot');
    await mkdir(snapshot);
    await handle.pause();
    await handle.snapshot(snapshot, never);
    process.kill(handle.process.pid, 'SIGKILL');
    await handle.exited;
    for (const { id, path } of drives) await copy(path, join(snapshot, id));
  });
  afterAll(() => world.dispose());

  const sh = async (script: string): Promise<string> => {
    let said = '';
    let failed = '';
    const session = await guests.of(agents).exec(
      {
        argv: ['sh', '-c', script],
        stdin: false,
        onStdout: (chunk) => void (said += chunk.toString()),
        onStderr: (chunk) => void (failed += chunk.toString()),
      },
      never,
    );
    expect({ ...(await session.result), failed }).toEqual({ kind: 'exit', code: 0, failed: '' });
    return said.trim();
  };

  /** With the disks as they were, and renewed. */
  const goOn = async (): Promise<VmmHandle> => {
    for (const { id, path } of drives) await copy(join(snapshot, id), path);
    const handle = await driver.restore?.(operation, snapshot, vmm.claims());
    if (handle === undefined) throw new Error('the driver cannot');
    await guests.connect(agents, handle.agent, guestMs, never);
    await guests.of(agents).renew(Date.now(), never);
    return handle;
  };
  const end = async (): Promise<void> => {
    guests.disconnect(agents);
    expect(await vmm.unwind()).toEqual([]);
  };

  const random: string[] = [];
  it('has its memory, its disks, its network, and the time of day', async () => {
    await goOn();
    expect(await sh('cat /mnt/note')).toBe('kept');
    const before = Date.now() / 1000;
    const now = Number(await sh('date +%s'));
    expect(now).toBeGreaterThan(before - 2);
    expect(now).toBeLessThan(Date.now() / 1000 + 1);
    expect(await sh('echo written > /root/note; sync; cat /root/note')).toBe('written');
    const gateway = await sh("ip route show default | cut -d' ' -f3");
    expect(await sh(`ping -c 1 -W 10 ${gateway}`)).toContain('1 received');
    random.push(await sh('head -c 32 /dev/urandom | od -An -tx1'));
    await end();
  });

  it('does so once more, as if there had been no other, and makes other keys', async () => {
    const handle = await goOn();
    expect(await sh('test ! -e /root/note && cat /mnt/note')).toBe('kept');
    random.push(await sh('head -c 32 /dev/urandom | od -An -tx1'));
    expect(random[0]).toMatch(/^(?: ?[0-9a-f]{2}\s*){32}$/);
    expect(random[1]).not.toBe(random[0]);
    expect(await handle.isPaused?.()).toBe(false);
    await end();
  });

  it('is a VM whose end the next daemon finds, and clears up after', async () => {
    // The folder that this test's VMMs had.
    await vmm.dispose();
    expect((await world.show('box')).state).toBe('stopped');
    expect(await world.ok(['doctor', '--leaks'])).toBe('Nothing leaks.');
    await world.ok(['vm', 'start', 'box']);
    expect(await world.guest('box', 'echo works')).toBe('works');
  });
});
