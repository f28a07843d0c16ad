import { open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { BangerError, type Executor } from '../../core/plugin-api/index.ts';

/** Documentation/arch/x86/boot.rst: the real-mode kernel header. */
const setupSectsAt = 0x1f1;
const magicAt = 0x202;
const versionAt = 0x206;
/** The first protocol version that has the payload's place. */
const payloadVersion = 0x208;
const payloadOffsetAt = 0x248;
const payloadLengthAt = 0x24c;

export type Compression = 'lz4' | 'gzip' | 'xz' | 'zstd';

const compressionOf = (payload: Buffer): Compression | undefined => {
  if (payload.length < 6) return undefined;
  if (payload.readUInt32LE(0) === 0x184c2102) return 'lz4'; // the legacy frame
  if (payload.readUInt16BE(0) === 0x1f8b) return 'gzip';
  if (payload.subarray(0, 6).equals(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]))) return 'xz';
  if (payload.readUInt32LE(0) === 0xfd2fb528) return 'zstd';
  return undefined;
};

/**
 * The compressed kernel in a bzImage.
 * @throws BangerError KERNEL_UNKNOWN for what is no bzImage, or compressed by a means we don't know
 */
export const findPayload = (
  image: Buffer,
): { readonly compression: Compression; readonly payload: Buffer } => {
  const isBzImage =
    image.length >= payloadLengthAt + 4 &&
    image.toString('latin1', magicAt, magicAt + 4) === 'HdrS' &&
    image.readUInt16LE(versionAt) >= payloadVersion;
  if (!isBzImage) throw new BangerError('KERNEL_UNKNOWN', 'the kernel is no bzImage');
  // "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
  const setupSects = image.readUInt8(setupSectsAt) || 4;
  const start = (setupSects + 1) * 512 + image.readUInt32LE(payloadOffsetAt);
  const length = image.readUInt32LE(payloadLengthAt);
  const whole = image.subarray(start, start + length);
  const compression = whole.length === length ? compressionOf(whole) : undefined;
  if (compression === undefined)
    throw new BangerError('KERNEL_UNKNOWN', 'the kernel is compressed by a means we do not know');
  // All but gzip, which has it inside, are followed by the unpacked size (scripts/Makefile.lib).
  return {
    compression,
    payload: compression === 'gzip' ? whole : whole.subarray(0, length - 4),
  };
};

/** A debug kernel is no bigger; a forged header must not fill the memory. */
const maxVmlinuxBytes = 1024 ** 3;

const assertElf = async (path: string): Promise<void> => {
  const handle = await open(path, 'r');
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    if (buffer.toString('latin1') !== '\x7fELF')
      throw new BangerError('KERNEL_UNKNOWN', 'what the bzImage has inside is no ELF kernel');
  } finally {
    await handle.close();
  }
};

/** Unpacks a bzImage to an ELF vmlinux, which boots by PVH some hundred milliseconds sooner. */
export const extractVmlinux = async (
  bzImagePath: string,
  vmlinuxPath: string,
  scratch: string,
  exec: Executor,
  signal: AbortSignal,
): Promise<void> => {
  const { compression, payload } = findPayload(await readFile(bzImagePath));
  if (compression === 'gzip') {
    await writeFile(
      vmlinuxPath,
      await promisify(gunzip)(payload, { maxOutputLength: maxVmlinuxBytes }),
    );
    await assertElf(vmlinuxPath);
    return;
  }
  const packed = join(scratch, `payload.${compression}`);
  await writeFile(packed, payload);
  const argv: Record<Exclude<Compression, 'gzip'>, [string, string[]]> = {
    lz4: ['lz4', ['-dfq', packed, vmlinuxPath]],
    zstd: ['zstd', ['-dfq', packed, '-o', vmlinuxPath]],
    xz: ['xz', ['-dkfq', packed]],
  };
  const [tool, args] = argv[compression];
  await exec.run(tool, args, { signal, timeoutMs: 120_000 });
  if (compression === 'xz') await rename(join(scratch, 'payload'), vmlinuxPath);
  await assertElf(vmlinuxPath);
};
