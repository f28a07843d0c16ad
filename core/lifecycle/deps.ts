import type { Settings } from '../config/settings.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { Operations } from '../operation/operations.ts';
import type { Registry } from '../registry.ts';
import type { VmRepository } from '../vm/repository.ts';
import type { Usage } from './usage.ts';
import type { Handles } from '../vmm/handles.ts';

/** What the parts of the lifecycle share. */
export interface LifecycleDeps {
  readonly vms: VmRepository;
  readonly operations: Operations;
  readonly ledger: Ledger;
  readonly registry: Registry;
  readonly handles: Handles;
  readonly usage: Usage;
  readonly settings: Settings;
  readonly log: Logger;
}
