import { execFile } from 'node:child_process';
import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { copyProduct } from '../../e2e/support/product.ts';
import { buildDouble, doubleIn } from '../../support/firecracker-double/make.ts';
import { kitAt, type CrashKit } from './place.ts';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '..', '..', '..');

/** Builds what the daemons of a world are made of. */
export const makeKit = async (folder: string): Promise<CrashKit> => {
  const kit = kitAt(folder);
  await mkdir(folder, { recursive: true });
  await copyProduct(kit.product);
  await buildStub(kit.stub);
  await buildDouble(dirname(kit.double));
  await doubleIn(dirname(kit.double));
  await copyFile(join(import.meta.dirname, 'shim.sh'), kit.shim);
  await build({
    entryPoints: [join(import.meta.dirname, 'preload.ts')],
    outfile: kit.preload,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
  });
  return kit;
};

const buildStub = async (path: string): Promise<void> => {
  const agent = join(repository, 'capabilities', 'vsock-agent', 'guest');
  await run('cc', [
    '-std=gnu11',
    '-O1',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-D_GNU_SOURCE',
    `-I${agent}`,
    '-o',
    path,
    join(import.meta.dirname, '..', 'stub-vmm', 'stub-vmm.c'),
    join(agent, 'cobs.c'),
  ]);
};
