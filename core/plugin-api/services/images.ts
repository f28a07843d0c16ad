import { serviceRef } from '../../capability.ts';

export interface Images {
  /** @throws BangerError IMAGE_UNKNOWN, which names those that there are */
  assertKnown(name: string): Promise<void>;
}

export const ImagesRef = serviceRef<Images>('images');
