import { defineCapability, vmmIdentity, vmmTeardown, z } from '../../core/plugin-api/index.ts';
import { createFirecrackerDriver } from './driver.ts';
import { limitKeys, limitsOf } from './limits.ts';
import { firecrackerMarks } from './marks.ts';

export const firecrackerCapability = defineCapability({
  id: 'firecracker',
  summary: 'VMs by Firecracker, on KVM',
  config: z.strictObject({
    /** A name on PATH or a path. */
    binary: z.string().min(1).default('firecracker'),
    ...limitKeys,
  }),
  identity: vmmIdentity,
  teardown: vmmTeardown(firecrackerMarks),
  setup: ({ config, directory, exec, instance }) => {
    const driver = createFirecrackerDriver({
      binary: config.binary,
      limits: limitsOf(config),
      directory,
      exec,
      instance,
    });
    return {
      vmm: driver,
      doctor: async () => {
        const { usable, detail, remedy } = await driver.probe();
        return [
          {
            id: 'firecracker',
            title: 'Firecracker',
            // Where there is none, QEMU serves.
            status: usable ? 'ok' : 'warning',
            detail,
            ...(remedy === undefined ? {} : { remedy }),
          },
        ];
      },
    };
  },
});
