import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** One file at a time: where the whole machine is looked at, or used. */
const serial = { fileParallelism: false, maxWorkers: 1 };

/**
 * What depends on the VMM the most. All of it takes six minutes more, which the forty of CI have no room for:
 * BANGER_TEST_ALL=1 npx vitest run --project e2e-firecracker
 */
const onFirecracker =
  process.env['BANGER_TEST_ALL'] === '1'
    ? ['test/e2e/**/*.test.ts']
    : ['test/e2e/{guest-states,pause,reattach,snapshot}.test.ts'];

export default defineConfig({
  test: {
    reporters: ['default', './test/support/counts-reporter.ts'],
    passWithNoTests: true,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 20_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Plugins name it so; here it is the same module that the built-in capabilities import.
        resolve: {
          alias: {
            'banger/plugin-api': fileURLToPath(
              new URL('core/plugin-api/index.ts', import.meta.url),
            ),
          },
        },
        test: {
          name: 'conformance',
          include: ['test/conformance/**/*.test.ts'],
          testTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'host',
          include: ['test/host/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 2 },
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'fuzz',
          include: ['test/fuzz/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 3 },
          ...serial,
        },
      },
      {
        // Three files at a time: each has a world of its own, and waits a quarter of the time.
        test: {
          name: 'crash',
          include: ['test/crash/**/*.test.ts'],
          globalSetup: ['./test/support/built.ts', './test/crash/support/totals.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 4 },
          maxWorkers: 3,
        },
      },
      {
        // Two files at a time: a host has one CPU.
        test: {
          name: 'testhost',
          include: ['test/testhost/**/*.test.ts'],
          globalSetup: [
            './test/support/built.ts',
            './test/crash/support/totals.ts',
            './test/testhost/support/setup.ts',
          ],
          testTimeout: 1_800_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 6 },
          maxWorkers: 2,
        },
      },
      {
        // Two files at a time: each has a daemon, VMs and traces of its own.
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: './test/support/built.ts',
          testTimeout: 300_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 5 },
          maxWorkers: 2,
        },
      },
      {
        // The same once more, on Firecracker: see test/e2e/support/vmm.ts.
        test: {
          name: 'e2e-firecracker',
          include: ['test/firecracker/**/*.test.ts', ...onFirecracker],
          // Of the command line alone, and of a user who may make no mount namespace for the double.
          exclude: ['test/e2e/bad-input.test.ts', 'test/e2e/ordinary-user.test.ts'],
          env: { BANGER_TEST_VMM: 'firecracker' },
          globalSetup: './test/support/built.ts',
          testTimeout: 300_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 7 },
          maxWorkers: 2,
        },
      },
    ],
  },
});
