import { BangerError } from '../errors.ts';
import type { Enabled, Registry } from '../registry.ts';
import type { VmmDriver } from './driver.ts';

/**
 * The driver of a start: the one that `vmm` names, or of those that can run here the one that asks to be
 * tried first.
 * @throws BangerError VMM_UNAVAILABLE
 */
export const chooseDriver = async (
  registry: Registry,
  setting: string,
): Promise<{ each: Enabled; driver: VmmDriver }> => {
  const drivers = registry.drivers();
  const names = drivers.map(({ driver }) => driver.id);
  const candidates =
    setting === 'auto' ? drivers : drivers.filter(({ driver }) => driver.id === setting);
  if (candidates.length === 0) {
    throw new BangerError(
      'VMM_UNAVAILABLE',
      `there is no VMM '${setting}'; there ${names.length === 1 ? 'is' : 'are'}: ${names.join(', ')}`,
    );
  }
  const probed = await Promise.all(
    candidates.map(async (candidate) => ({ ...candidate, probe: await candidate.driver.probe() })),
  );
  const best = probed
    .filter(({ probe }) => probe.usable)
    .sort((a, b) => b.probe.preference - a.probe.preference)[0];
  if (best !== undefined) return best;
  // The one that serves where others cannot is the easiest to bring about.
  const [last] = probed.toSorted((a, b) => a.probe.preference - b.probe.preference);
  throw new BangerError(
    'VMM_UNAVAILABLE',
    `no VMM can run here: ${probed.map(({ driver, probe }) => `${driver.id}: ${probe.detail}`).join('; ')}`,
    last?.probe.remedy === undefined ? {} : { remedy: last.probe.remedy },
  );
};
