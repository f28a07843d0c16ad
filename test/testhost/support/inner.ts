import type { VmDetails } from '../../../core/api/contract/types.ts';
import type { TestHost } from '../../../scripts/testhost.d/host.ts';
import type { Outcome } from '../../../scripts/testhost.d/session.ts';
import { stage } from './stage.ts';

/** `banger` as root in a test host, with state and configuration of its own. */
export interface InnerBanger {
  readonly stateDirectory: string;
  cli(args: readonly string[]): Promise<Outcome>;
  /** The same where anything but exit code 0 is the test's failure. @returns standard output, trimmed */
  ok(args: readonly string[]): Promise<string>;
  /** `sh -c SCRIPT` in a running VM. @returns its standard output, trimmed */
  guest(vm: string, script: string): Promise<string>;
  show(vm: string): Promise<VmDetails>;
  /** The end of the daemon's log, for a test that has failed. */
  log(): Promise<string>;
}

/**
 * @param folder of everything of this daemon, in the test host
 * @param config config.toml
 */
export const innerBanger = async (
  host: TestHost,
  folder: string,
  config: string,
): Promise<InnerBanger> => {
  const configPath = `${folder}/config.toml`;
  const stateDirectory = `${folder}/s`;
  const env = {
    HOME: stage.home,
    BANGER_CONFIG: configPath,
    BANGER_STATE_DIR: stateDirectory,
    BANGER_RUNTIME_DIR: `${folder}/r`,
  };
  await host.ok(['mkdir', '-p', folder]);
  await host.ok(['dd', 'status=none', `of=${configPath}`], { input: config });
  const argv = (args: readonly string[]): string[] => [
    'node',
    `${stage.product}/bin/banger`,
    ...args,
  ];
  const ok: InnerBanger['ok'] = (args) => host.ok(argv(args), { env });
  return {
    stateDirectory,
    cli: (args) => host.run(argv(args), { env }),
    ok,
    guest: (vm, script) => ok(['vm', 'exec', vm, '--', 'sh', '-c', script]),
    log: async () => (await host.run(['tail', '-n', '60', `${stateDirectory}/daemon.log`])).stdout,
    show: async (vm) => JSON.parse(await ok(['vm', 'show', vm, '--json'])) as VmDetails,
  };
};
