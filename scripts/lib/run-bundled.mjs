// Bundles a script that is TypeScript over the product's own modules, and runs it: run-bundled.mjs ENTRY ARGS…
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
// Below node_modules, so that packages which stay outside of the bundle are found from there.
const modules = join(root, 'node_modules');
for (const name of readdirSync(modules)) {
  const pid = /^\.script-(\d+)-/.exec(name)?.[1]; // of one that was killed, where no such process is
  if (pid !== undefined && !existsSync(`/proc/${pid}`))
    rmSync(join(modules, name), { recursive: true, force: true });
}
const folder = mkdtempSync(join(modules, `.script-${process.pid}-`));
process.on('exit', () => {
  rmSync(folder, { recursive: true, force: true });
});
/** A module asks for files beside it: it means its source, not the bundle. */
const keepSourceFolders = (/** @type {import('esbuild').PluginBuild} */ { onLoad }) => {
  onLoad({ filter: /\.ts$/ }, ({ path }) => ({
    contents: readFileSync(path, 'utf8').replaceAll(
      'import.meta.dirname',
      JSON.stringify(dirname(path)),
    ),
    loader: 'ts',
  }));
};
const [entry = '', ...args] = process.argv.slice(2);
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
  plugins: [{ name: 'source-folders', setup: keepSourceFolders }],
});
// In this very process: a signal to it is one to the script.
process.argv.splice(1, process.argv.length, outfile, ...args);
await import(pathToFileURL(outfile).href);
