import type { VmmHandle } from './driver.ts';

/** The VMMs that this daemon is connected to, by VM id. */
export class Handles {
  readonly #byVm = new Map<string, VmmHandle>();

  get(vmId: string): VmmHandle | undefined {
    return this.#byVm.get(vmId);
  }

  set(vmId: string, handle: VmmHandle): void {
    this.#byVm.set(vmId, handle);
  }

  delete(vmId: string): void {
    this.#byVm.delete(vmId);
  }
}
