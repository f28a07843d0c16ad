import { homedir } from 'node:os';
import { defineCapability } from '../../core/plugin-api/index.ts';
import { fileSyncConfig } from './entries.ts';
import { fileSyncSteps } from './steps.ts';

export const fileSyncCapability = defineCapability({
  id: 'file-sync',
  summary: 'your own files in each guest, as they are at each start',
  after: ['vsock-agent'],
  optional: true,
  config: fileSyncConfig,
  configKey: 'file_sync',
  setup: ({ config }) => ({
    provision: () => fileSyncSteps(config, homedir()),
  }),
});
