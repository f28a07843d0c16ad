import { kvmObstacle, type KvmCheck, type KvmPlaces } from '../../core/plugin-api/index.ts';

export type Acceleration =
  | { readonly kind: 'kvm' }
  /** `remedy`: what would bring KVM; absent where nobody wants it. */
  | { readonly kind: 'tcg'; readonly why: string; readonly remedy?: string };

/** @param setting `kvm` is believed: QEMU says what is wrong with it */
export const chooseAcceleration = async (
  setting: 'auto' | 'kvm' | 'tcg',
  kvm: KvmCheck,
  places?: KvmPlaces,
): Promise<Acceleration> => {
  if (setting === 'kvm') return { kind: 'kvm' };
  if (setting === 'tcg') return { kind: 'tcg', why: 'qemu.acceleration is "tcg"' };
  const obstacle = await kvmObstacle(kvm, places);
  return obstacle === undefined
    ? { kind: 'kvm' }
    : { kind: 'tcg', why: obstacle.detail, remedy: obstacle.remedy };
};
