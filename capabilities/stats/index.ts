import {
  AddressesRef,
  deadlineSignal,
  defineAction,
  defineCapability,
  GuestsRef,
  messageOf,
  parseDuration,
  provide,
  StatsRef,
  VmsRef,
  z,
} from '../../core/plugin-api/index.ts';
import {
  agentLog,
  agentLogAsk,
  portsAsk,
  portsReport,
  statsNow,
  statsReport,
  type StatsReport,
} from './contract.ts';
import { readHostFigures } from './host-figures.ts';
import { Poller, type WatchedVm } from './poller.ts';
import { merge, withUrls } from './ports.ts';

/** How long the guest may take over one answer, milliseconds. */
const answerMs = 10_000;

const isInterval = (text: string): boolean => {
  const ms = parseDuration(text);
  return ms !== undefined && ms >= 1_000 && ms <= 3_600_000;
};

export const statsCapability = defineCapability({
  id: 'stats',
  summary: 'what running VMs take and offer, and whether anybody uses them',
  after: ['vsock-agent'],
  optional: true,
  config: z.strictObject({
    /** How often running VMs are looked at. */
    poll_interval: z
      .string()
      .refine(isInterval, { error: 'a duration from "1s" to "1h", such as "10s"' })
      .default('10s'),
  }),
  needs: { guests: GuestsRef, vms: VmsRef },
  wants: { addresses: AddressesRef },

  setup: ({ config, services, log }) => {
    const { guests, vms, addresses } = services;
    const poller = new Poller({
      intervalMs: parseDuration(config.poll_interval) ?? 0,
      log,
      lookInside: (vm, signal) => guests.of(vm).stats(signal),
      lookOutside: async (vm) => {
        const process = vms.vmmProcess(vm);
        return process === undefined ? undefined : readHostFigures(process);
      },
      isRunning: (vm) => vms.isRunning(vm),
      onLook: (vm, isUsed) => {
        vms.observeUse(vm, isUsed);
      },
    });
    const watch = ({ vm: { id, name } }: { readonly vm: WatchedVm }): Promise<void> => {
      poller.add({ id, name });
      return Promise.resolve();
    };
    const report = async (vm: WatchedVm): Promise<StatsReport['vms'][number]> => {
      try {
        return { name: vm.name, stats: (await poller.now(vm)) ?? null, error: null };
      } catch (error) {
        const why = `its agent does not answer: ${messageOf(error)}`;
        return { name: vm.name, stats: null, error: why };
      }
    };

    return {
      provides: [provide(StatsRef, { latest: (vm) => poller.latest(vm) })],
      postStart: watch,
      resume: watch,
      exited: ({ vm }) => {
        poller.remove(vm);
        return Promise.resolve();
      },

      actions: {
        now: defineAction({
          summary: 'looks at one VM, or at all that run',
          mode: 'call',
          onlyLooks: true,
          input: statsNow,
          output: statsReport,
          run: async ({ vm: name }) => {
            if (name === undefined)
              return { vms: await Promise.all(poller.vms().filter(vms.isRunning).map(report)) };
            const vm = vms.get(name);
            vms.assertRunning(vm);
            return { vms: [await report(vm)] };
          },
        }),

        ports: defineAction({
          summary: 'tells which ports of a VM listen, and which of them speak HTTP',
          mode: 'call',
          onlyLooks: true,
          input: portsAsk,
          output: portsReport,
          run: async ({ vm: nameOrId, probe }, { signal }) => {
            const vm = vms.get(nameOrId);
            vms.assertRunning(vm);
            const deadline = deadlineSignal(answerMs, signal);
            const found = await guests.of(vm).ports(deadline);
            const ports = merge(found.ports);
            const ip = addresses?.of(vm)?.address ?? null;
            return {
              name: vm.name,
              ip,
              ports: probe && ip !== null ? await withUrls(ports, vm.name, ip, deadline) : ports,
              more: found.more,
            };
          },
        }),

        'agent-log': defineAction({
          summary: 'tells what a VM’s agent has logged',
          mode: 'call',
          onlyLooks: true,
          input: agentLogAsk,
          output: agentLog,
          run: async ({ vm: nameOrId }, { signal }) => {
            const vm = vms.get(nameOrId);
            vms.assertRunning(vm);
            const log = await guests.of(vm).log(deadlineSignal(answerMs, signal));
            return { text: log.toString('utf8') };
          },
        }),
      },
    };
  },
});
