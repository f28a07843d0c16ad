// @ts-check
import { defineCapability, z } from 'banger/plugin-api';

/**
 * The smallest useful plugin: it says, as data, what is to be done in each new guest. Core puts the
 * file, runs the script, records both, shows them as the stage `provision`, and turns a failure
 * into the operation's error.
 */
export default defineCapability({
  id: 'hello-provision',
  summary: 'puts a greeting into each new guest',
  config: z.strictObject({
    /** What /etc/motd.d/hello says. */
    greeting: z.string().min(1).default('Hello from banger'),
  }),
  setup: ({ config }) => ({
    provision: async (vm) => [
      {
        id: 'greeting',
        summary: 'put the greeting',
        when: 'once',
        kind: 'file',
        path: '/etc/motd.d/hello',
        content: `${config.greeting}, ${vm.name}\n`,
      },
      {
        id: 'stamp',
        summary: 'note when it was put',
        when: 'once',
        kind: 'script',
        script: 'date -u +%FT%TZ > /var/lib/hello-provisioned; cat /etc/motd.d/hello >&2',
      },
    ],
  }),
});
