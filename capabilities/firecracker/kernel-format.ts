import { open } from 'node:fs/promises';
import { BangerError } from '../../core/plugin-api/index.ts';

/** elf(5): of e_ident the magic, 64 bits, and little endian; e_machine of x86-64 at 18. */
const elf64 = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
const machineAt = 18;
const x86_64 = 62;
/** Documentation/arch/x86/boot.rst. */
const bzImageMagicAt = 0x202;
const bzImageMagic = 'HdrS';

const headBytes = bzImageMagicAt + bzImageMagic.length;

const readHead = async (path: string): Promise<Buffer> => {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
};

/**
 * Firecracker boots an unpacked ELF kernel of this CPU alone, and of another says that its magic number is wrong.
 * @throws BangerError KERNEL_UNKNOWN
 */
export const assertBootable = async (path: string): Promise<void> => {
  const head = await readHead(path);
  const isElf = head.subarray(0, elf64.length).equals(elf64);
  if (isElf && head.length > machineAt + 1 && head.readUInt16LE(machineAt) === x86_64) return;
  if (head.toString('latin1', bzImageMagicAt) === bzImageMagic) {
    throw new BangerError(
      'KERNEL_UNKNOWN',
      `${path} is a bzImage, and Firecracker boots an unpacked vmlinux alone`,
      { remedy: `Unpack it: /usr/src/linux-headers-$(uname -r)/scripts/extract-vmlinux ${path}` },
    );
  }
  throw new BangerError(
    'KERNEL_UNKNOWN',
    isElf
      ? `${path} is a kernel for another CPU than x86-64`
      : `${path} is no kernel that Firecracker boots, which is an ELF vmlinux`,
  );
};
