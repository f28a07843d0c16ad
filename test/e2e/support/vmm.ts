import { existsSync } from 'node:fs';
import { chmod, readdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDynamic } from '../../../capabilities/firecracker/interpreter.ts';
import { firecrackerCapability } from '../../../capabilities/firecracker/index.ts';
import { qemuCapability } from '../../../capabilities/qemu/index.ts';
import {
  chardev,
  firecrackerVsock,
  type Connect,
} from '../../../capabilities/vsock-agent/connect.ts';
import type { Capability } from '../../../core/capability.ts';
import { doubleHost } from '../../support/firecracker-double/host.ts';
import { buildDouble, doubleIn, jailerIn } from '../../support/firecracker-double/make.ts';
import type { Reason } from '../../support/reasons.ts';

/**
 * What the suite's VMs run on: `qemu`, or what BANGER_TEST_VMM says. `firecracker` is that of BANGER_TEST_FIRECRACKER,
 * on a host with KVM; where that names none, the double.
 */
export const testVmm = process.env['BANGER_TEST_VMM'] === 'firecracker' ? 'firecracker' : 'qemu';

const realFirecracker = process.env['BANGER_TEST_FIRECRACKER'];

/** The program that a VM's process is. */
export const vmmProgram =
  testVmm === 'qemu' ? 'qemu-system' : realFirecracker === undefined ? 'node' : 'firecracker';

/** Why a guest's agent cannot be reached by virtio-serial ports: the double's guest has them, a real one's has vsock. */
export const noPorts: Reason =
  testVmm === 'firecracker' && realFirecracker !== undefined
    ? 'a real Firecracker has no ports'
    : undefined;

const realJailer =
  realFirecracker === undefined ? undefined : join(dirname(realFirecracker), 'jailer');

/** Why a real Firecracker cannot be in a jail. @param jailer beside it */
export const jailerReason = async (firecracker: string, jailer: string): Promise<Reason> => {
  if (!existsSync(jailer)) return `there is no ${jailer}`;
  return (await isDynamic(firecracker)) ? `${firecracker} is not linked statically` : undefined;
};

export const noJailer: Reason =
  realFirecracker === undefined || realJailer === undefined
    ? undefined
    : await jailerReason(realFirecracker, realJailer);

/** The jailer of its release, which lies beside it; the double's where it is one. @param folder of the double */
export const testJailer = (folder: string): Promise<string> =>
  realJailer === undefined ? jailerIn(folder) : Promise.resolve(realJailer);

/** Lines that a world's config.toml has before those that a test wrote. */
export const linesBefore = testVmm === 'qemu' ? 0 : 1;

/** The capability whose driver that is, and what its config has in a world. @param root of the world */
export const vmmCapability = (root: string): { capability: Capability; config: object } =>
  testVmm === 'qemu'
    ? { capability: qemuCapability, config: {} }
    : {
        capability: firecrackerCapability,
        config: { binary: realFirecracker ?? join(root, 'f', 'firecracker-now') },
      };

/** Adds to a world's config.toml what leads to that VMM. */
export type Configure = (toml: string) => string;

/**
 * @param product that of the world, which is changed where the double needs it
 * @param folder for what is made
 */
export const useVmm = async (product: string, folder: string): Promise<Configure> => {
  if (testVmm === 'qemu') return (toml) => toml;
  const binary = realFirecracker ?? (await withDouble(product, folder));
  const table = '[firecracker]\n';
  const own = `${table}binary = "${binary}"\n`;
  // A table is there once.
  return (toml) =>
    `vmm = "firecracker"\n${toml.includes(table) ? toml.replace(table, own) : `${toml}\n${own}`}`;
};

/** Why a guest's agent cannot connect to the host. */
export const noVsock: Reason =
  testVmm === 'qemu' ? 'QEMU’s guests have ports, no vsock' : undefined;

/** The socket by which a world's only guest is reached and the daemon does not use. */
export const spareSocket = async (stateDirectory: string): Promise<string> => {
  const drivers = join(stateDirectory, testVmm);
  // Of QEMU's ports the last: the daemon takes the first that is free.
  const name = testVmm === 'qemu' ? 'agent.7.sock' : 'vsock.sock';
  const [path = 'none'] = (await readdir(drivers, { recursive: true })).filter(
    (file) => file.endsWith(name) && !file.includes('/double/'),
  );
  return join(drivers, path);
};

/** A stream to the agent of a world's only guest which the daemon does not use. */
export const spareStream = async (stateDirectory: string): Promise<Connect> => {
  const socket = await spareSocket(stateDirectory);
  return testVmm === 'qemu' ? chardev(socket) : firecrackerVsock(socket, 1024);
};

/** Firecracker is for hosts with KVM: banger sees one, in a mount namespace of its own. */
const withDouble = async (product: string, folder: string): Promise<string> => {
  await buildDouble(folder);
  const banger = join(product, 'bin', 'banger');
  const itself = `${banger}-itself`;
  await rename(banger, itself);
  const seeing = (await doubleHost(folder)).join("' '");
  await writeFile(banger, `#!/bin/sh\nexec '${seeing}' '${itself}' "$@"\n`);
  await chmod(banger, 0o755);
  return doubleIn(folder);
};
