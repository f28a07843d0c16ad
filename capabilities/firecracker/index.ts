import { defineCapability, vmmIdentity, vmmTeardown, z } from '../../core/plugin-api/index.ts';
import { createFirecrackerDriver } from './driver.ts';
import { limitKeys, limitsOf } from './limits.ts';
import { firecrackerMarks } from './marks.ts';
import { defaultUidBase, greatestUidBase, leastUidBase } from './own-user.ts';

export const firecrackerCapability = defineCapability({
  id: 'firecracker',
  summary: 'VMs by Firecracker, on KVM',
  config: z.strictObject({
    /** A name on PATH or a path. */
    binary: z.string().min(1).default('firecracker'),
    /** For a daemon of root: the first of 65,536 users, of which each VM's Firecracker is one. */
    uid_base: z.int().min(leastUidBase).max(greatestUidBase).default(defaultUidBase),
    /** For a daemon of root: whether each is started through the jailer, in a file system of its own. */
    jailer: z.boolean().default(false),
    /** A name on PATH or a path, of Firecracker's release. */
    jailer_binary: z.string().min(1).default('jailer'),
    ...limitKeys,
  }),
  identity: vmmIdentity,
  teardown: vmmTeardown(firecrackerMarks),
  setup: ({ config, directory, exec, instance }) => {
    const driver = createFirecrackerDriver({
      binary: config.binary,
      jailer: config.jailer ? config.jailer_binary : undefined,
      limits: limitsOf(config),
      uidBase: config.uid_base,
      isRoot: process.getuid?.() === 0,
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
