import { serviceRef } from '../../capability.ts';

/** What can be changed on a machine that runs. Core provides it, from the driver's handle. */
export interface Machines {
  /**
   * Makes the drive of that id, and the raw file behind it, larger.
   * @param path of that file, as it is in the machine spec
   * @returns whether this VMM can; where not, nothing has changed
   */
  growDrive(
    vm: { readonly id: string },
    drive: string,
    bytes: number,
    path: string,
  ): Promise<boolean>;
}

export const MachinesRef = serviceRef<Machines>('machines');
