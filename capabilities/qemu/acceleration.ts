import { kvmObstacle, type KvmPaths } from '../../core/plugin-api/index.ts';

export type Acceleration =
  { readonly kind: 'kvm' } | { readonly kind: 'tcg'; readonly why: string };

export const chooseAcceleration = async (
  setting: 'auto' | 'kvm' | 'tcg',
  paths?: KvmPaths,
): Promise<Acceleration> => {
  if (setting === 'kvm') return { kind: 'kvm' };
  if (setting === 'tcg') return { kind: 'tcg', why: 'qemu.acceleration is "tcg"' };
  const why = await kvmObstacle(paths);
  return why === undefined ? { kind: 'kvm' } : { kind: 'tcg', why };
};
