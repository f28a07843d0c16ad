import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostDiffSettled, hostState, type HostState } from '../../test/support/host-state.ts';
import type { World } from '../bench.d/world.ts';

const scopeOf = (world: World) => ({ directories: [world.folder] });

/** The whole host as it is while our daemon is stopped and has no VM. */
export const hostOf = (world: World): Promise<HostState> => hostState(scopeOf(world));

/** `sysctl …/conf/<device>/forwarding <value>`, which comes and goes with its device. */
const switchOf = (line: string): string | undefined => /^[+-] (sysctl \S+)/.exec(line)?.[1];

/** What differs since, save backups of the database, and what another daemon's or program's name shows to be theirs. */
export const leftOnHost = async (world: World, before: HostState): Promise<readonly string[]> => {
  const { token } = JSON.parse(
    readFileSync(join(world.stateDirectory, 'instance.json'), 'utf8'),
  ) as { token: string };
  const backups = join(world.stateDirectory, 'backups');
  const diff = await hostDiffSettled(before, scopeOf(world));
  return diff.filter((line) => {
    const owner = /\b(?:bgr-|banger:)(\w+)/.exec(line)?.[1];
    const name = switchOf(line);
    const isChange =
      name === undefined || diff.some((other) => other !== line && switchOf(other) === name);
    const isOthersMount = /^[+-] mount /.test(line) && !line.includes(world.folder);
    const isOthers = isOthersMount || (owner !== undefined && !owner.startsWith(token));
    return isChange && !isOthers && !line.includes(backups);
  });
};
