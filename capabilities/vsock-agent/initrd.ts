import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  BangerError,
  type AgentChannel,
  type GuestSeed,
  type KernelSpec,
  type SeedFile,
} from '../../core/plugin-api/index.ts';
import { encodeCpio, type CpioEntry } from './cpio.ts';

const folder = (name: string): CpioEntry => ({ name, mode: 0o040755 });
const file = (name: string, data: string | Uint8Array, mode = 0o100600): CpioEntry => ({
  name,
  mode,
  data: typeof data === 'string' ? Buffer.from(data) : data,
});

/** The init in the guest reads one line an entry, so a line break would forge another one. */
const line = (text: string): string => {
  if (/[\n\r\0]/.test(text))
    throw new BangerError('INPUT_INVALID', `a line break in ${JSON.stringify(text)}`);
  return `${text}\n`;
};

const config = ({ hostname, address, gateway, dns }: GuestSeed): string =>
  [
    `hostname=${hostname}`,
    ...(address === undefined ? [] : [`address=${address}`]),
    ...(gateway === undefined ? [] : [`gateway=${gateway}`]),
    ...dns.map((server) => `dns=${server}`),
  ]
    .map(line)
    .join('');

const manifest = (files: readonly SeedFile[]): string =>
  files
    .map(({ kind, mode, path }, index) =>
      line(`${kind} ${mode.toString(8)} ${String(index)} ${path}`),
    )
    .join('');

/** What a module is for, where the guest's agent is reached the other way. The kernel takes - and _ as one. */
const servesOnly = (path: string): AgentChannel['kind'] | undefined => {
  const name = basename(path).replaceAll('-', '_');
  if (name.startsWith('virtio_console')) return 'ports';
  return /^(vsock|vmw_vsock_)/.test(name) ? 'vsock' : undefined;
};

/**
 * @throws BangerError KERNEL_UNKNOWN where it was built before there was a VMM with vsock
 */
const modulesFor = (kernel: KernelSpec, channel: AgentChannel['kind']): readonly string[] => {
  if (channel === 'vsock' && !kernel.initrdModules.some((path) => servesOnly(path) === 'vsock')) {
    throw new BangerError(
      'KERNEL_UNKNOWN',
      `the image's kernel ${kernel.release} brings no vsock`,
      {
        remedy:
          'Build the image anew, `banger image build --rebuild NAME`, and make the VM from that; or choose another VMM (`vmm` in config.toml).',
      },
    );
  }
  return kernel.initrdModules.filter((path) => (servesOnly(path) ?? channel) === channel);
};

/** What is the same for all VMs of one kernel and channel: init (which is also the agent) and modules. */
export const readInitrdBase = async (
  kernel: KernelSpec,
  agentPath: string,
  channel: AgentChannel['kind'],
): Promise<readonly CpioEntry[]> => {
  const modules = await Promise.all(
    modulesFor(kernel, channel).map(async (path) => ({
      name: basename(path),
      data: await readFile(path),
    })),
  );
  return [
    folder('dev'),
    folder('proc'),
    folder('sys'),
    folder('modules'),
    file('init', await readFile(agentPath), 0o100755),
    file('modules/list', modules.map(({ name }) => line(name)).join('')),
    ...modules.map(({ name, data }) => file(`modules/${name}`, data)),
  ];
};

/** The initrd of one start: the base, and the seed that makes this guest itself. */
export const buildInitrd = (base: readonly CpioEntry[], seed: GuestSeed): Buffer =>
  encodeCpio([
    ...base,
    folder('seed'),
    file('seed/config', config(seed)),
    file('seed/manifest', manifest(seed.files)),
    ...seed.files.map(({ content }, index) => file(`seed/${String(index)}`, content)),
  ]);
