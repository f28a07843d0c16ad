import {
  defineAction,
  defineCapability,
  GuestsRef,
  messageOf,
  VmsRef,
  z,
  type VmRecord,
} from '../../core/plugin-api/index.ts';
import {
  workspaceCheck,
  workspaceContents,
  workspaceExport,
  workspaceExported,
  workspaceOf,
  workspacePrepare,
  workspacePrepared,
  workspacePulled,
  workspaceStatus,
} from './contract.ts';
import { exportPatch } from './export.ts';
import { workspaceIdentity, type RecordedWorkspace } from './identity.ts';
import { findWorkspace, Turns, type Kit } from './kit.ts';
import { readMemory, unsaved, writeMemory, type Memory } from './memory.ts';
import { checkContents, prepare } from './prepare.ts';
import { pull } from './pull.ts';
import { lookAtGuest, workspaceStatusOf } from './status.ts';
import { workspaceTeardown } from './teardown.ts';

export const workspaceCapability = defineCapability({
  id: 'workspace',
  summary: 'a git repository that goes into a VM, and comes back as a patch',
  after: ['vsock-agent'],
  optional: true,
  config: z.strictObject({
    /** MiB that a guest's patch may have. */
    max_patch: z.int().min(1).max(16_384).default(1024),
  }),
  identity: workspaceIdentity,
  teardown: workspaceTeardown,
  needs: { vms: VmsRef, guests: GuestsRef },

  setup: ({ config, claims, claimsOf, exec, directory, services, log }) => {
    const { vms, guests } = services;
    const maxPatch = config.max_patch * 1024 ** 2;
    const kit: Kit = { exec, directory, claims, claimsOf, vms, guests, maxPatch };
    const turns = new Turns();
    /** Undefined where it cannot be read: no reason for a VM not to start. */
    const known = (vm: VmRecord, { path }: RecordedWorkspace): Promise<Memory | undefined> =>
      readMemory(path).catch((error: unknown) => {
        log.warn({ vm: vm.name, err: error }, 'what is known of the workspace cannot be read');
        return undefined;
      });

    return {
      // From now on the guest may change what was seen as the VM stopped.
      preStart: async ({ vm }) => {
        const workspace = findWorkspace(kit, vm);
        if (workspace === undefined) return;
        const memory = await known(vm, workspace);
        if (memory?.seen.isFinal === true)
          await writeMemory(workspace.path, {
            ...memory,
            seen: { ...memory.seen, isFinal: false },
          });
      },

      // A stopped VM cannot be asked any more.
      preStop: async ({ vm, signal }) => {
        const workspace = findWorkspace(kit, vm);
        if (workspace === undefined) return;
        await turns.take(vm.id, () => lookAtGuest(kit, vm, workspace, signal, true));
      },

      preDelete: async (vm) => {
        const workspace = findWorkspace(kit, vm);
        if (workspace === undefined) return undefined;
        const memory = await known(vm, workspace);
        const what =
          memory === undefined
            ? `had a workspace in ${workspace.guestPath} of which nothing is known any more`
            : unsaved(memory, workspace.guestPath);
        return what === undefined
          ? undefined
          : {
              what,
              remedy:
                `Export them: banger vm start ${vm.name}, then banger vm workspace export ${vm.name} --output FILE. ` +
                `Or lose them: banger vm delete --force ${vm.name}`,
            };
      },

      actions: {
        check: defineAction({
          summary: 'what of a repository would go into a VM',
          mode: 'call',
          input: workspaceCheck,
          output: workspaceContents,
          run: (input, { signal }) => checkContents(kit, input, signal),
        }),
        prepare: defineAction({
          summary: 'brings a repository into a VM',
          mode: 'operation',
          input: workspacePrepare,
          output: workspacePrepared,
          run: (input, operation) => {
            const vm = vms.get(input.vm);
            return turns.take(vm.id, () => prepare(kit, vm, input, operation));
          },
        }),
        export: defineAction({
          summary: 'what a VM has made of it, as one patch',
          mode: 'operation',
          input: workspaceExport,
          output: workspaceExported,
          run: (input, operation) => {
            const vm = vms.get(input.vm);
            return turns.take(vm.id, () => exportPatch(kit, vm, input.baseCommit, operation));
          },
        }),
        pull: defineAction({
          summary: 'merges what a VM has made of it into the host’s working tree',
          mode: 'operation',
          input: workspaceOf,
          output: workspacePulled,
          run: (input, operation) => {
            const vm = vms.get(input.vm);
            return turns.take(vm.id, () => pull(kit, vm, operation));
          },
        }),
        status: defineAction({
          summary: 'what has moved on either side',
          mode: 'call',
          input: workspaceOf,
          output: workspaceStatus,
          run: (input, operation) => {
            const vm = vms.get(input.vm);
            return turns.take(vm.id, () => workspaceStatusOf(kit, vm, operation));
          },
        }),
      },

      describe: async (vm) => {
        const workspace = findWorkspace(kit, vm);
        if (workspace === undefined) return {};
        const { repository, guestPath, base } = workspace;
        const known = await readMemory(workspace.path).then(
          ({ seen }) => `seen ${seen.at}`,
          (error: unknown) => `cannot be read: ${messageOf(error)}`,
        );
        return { repository, guestPath, base, known };
      },
    };
  },
});
