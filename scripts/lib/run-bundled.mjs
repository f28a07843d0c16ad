// Bundles a script that is TypeScript over the product's own modules, and runs it: run-bundled.mjs ENTRY ARGS…
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
// Below node_modules, so that packages which stay outside of the bundle are found from there.
const folder = mkdtempSync(join(root, 'node_modules', '.script-'));
const [entry = '', ...args] = process.argv.slice(2);
try {
  const outfile = join(folder, 'script.mjs');
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
  });
  // Ctrl-C is for the script, which cleans up; this process waits for it.
  process.on('SIGINT', () => undefined);
  const { status } = spawnSync(process.execPath, [outfile, ...args], {
    stdio: 'inherit',
    env: { ...process.env, BANGER_ROOT: root },
  });
  process.exitCode = status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
