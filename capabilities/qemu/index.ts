import { defineCapability, vmmIdentity, vmmTeardown, z } from '../../core/plugin-api/index.ts';
import { createQemuDriver } from './driver.ts';
import { qemuMarks } from './marks.ts';
import { measureTscKhz } from './tsc.ts';

export const qemuCapability = defineCapability({
  id: 'qemu',
  summary: 'VMs by QEMU’s microvm machine, on KVM or emulated',
  config: z.strictObject({
    /** A name on PATH or a path. */
    binary: z.string().min(1).default('qemu-system-x86_64'),
    /** `auto`: KVM where it works. */
    acceleration: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
  }),
  identity: vmmIdentity,
  teardown: vmmTeardown(qemuMarks),
  setup: ({ config, directory, exec, instance }) => {
    // Measured once: it does not change while the host is up.
    let tscKhz: Promise<number | undefined> | undefined;
    const driver = createQemuDriver({
      binary: config.binary,
      acceleration: config.acceleration,
      directory,
      exec,
      instance,
      tscKhz: () => {
        tscKhz ??= measureTscKhz(exec).catch((error: unknown) => {
          tscKhz = undefined; // another start tries again
          throw error;
        });
        return tscKhz;
      },
    });
    return {
      vmm: driver,
      doctor: async () => {
        const { usable, detail, remedy } = await driver.probe();
        return [
          {
            id: 'qemu',
            title: 'QEMU',
            status: usable ? (detail === 'KVM' ? 'ok' : 'warning') : 'error',
            detail,
            ...(remedy === undefined ? {} : { remedy }),
          },
        ];
      },
    };
  },
});
