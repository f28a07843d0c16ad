import { mkdir, readFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  BangerError,
  ensureCachedFolder,
  linkFolder,
  newToken,
  observePath,
  z,
  type Claim,
  type Claims,
  type Executor,
  type Kernels,
  type OperationContext,
  type PathObserved,
  type StoredKernel,
} from '../../core/plugin-api/index.ts';
import { buildKernel, factsFile, modulesFile, vmlinuxFile } from './build.ts';
import type { KernelIdentity } from './identity.ts';
import { kernelRecipes, type KernelRecipe } from './recipe.ts';

type KernelClaims = Claims<KernelIdentity, PathObserved>;
type KernelClaim = Claim<KernelIdentity, PathObserved>;

const facts = z.object({ release: z.string(), initrdModules: z.array(z.string()) });

/** Raise it when buildKernel puts something else into the folder. */
const builderVersion = 1;

const cacheKey = (recipe: KernelRecipe): string =>
  createHash('sha256')
    .update(JSON.stringify({ ...recipe, builderVersion }))
    .digest('hex')
    .slice(0, 16);

const toStored = ({ id: claimId, identity }: KernelClaim): StoredKernel => ({
  id: identity.id,
  name: identity.name,
  release: identity.release,
  path: join(identity.path, vmlinuxFile),
  initrdModules: identity.initrdModules.map((name) => join(identity.path, name)),
  modulesArchive: join(identity.path, modulesFile),
  claimId,
});

export interface KernelStoreOptions {
  readonly claims: KernelClaims;
  readonly exec: Executor;
  readonly directory: string;
  readonly cacheDirectory: string;
}

/** Kernels that this daemon holds, each a folder of hard links into the user's cache. */
export class KernelStore implements Kernels {
  readonly #options: KernelStoreOptions;

  constructor(options: KernelStoreOptions) {
    this.#options = options;
  }

  list(): readonly KernelClaim[] {
    return this.#options.claims.list({ scope: 'store' });
  }

  get(id: string): StoredKernel {
    const claim = this.list().find(({ identity }) => identity.id === id);
    if (claim === undefined)
      throw new BangerError('KERNEL_UNKNOWN', `the kernel ${id} is not stored here any more`);
    return toStored(claim);
  }

  async resolve(name: string, operation: OperationContext): Promise<StoredKernel> {
    const recipe = kernelRecipes.find((known) => known.name === name);
    if (recipe === undefined) {
      throw new BangerError(
        'KERNEL_UNKNOWN',
        `there is no kernel '${name}'; there are: ${kernelRecipes.map((known) => known.name).join(', ')}`,
      );
    }
    const { claims, directory } = this.#options;
    const id = cacheKey(recipe);
    const held = this.list().find(({ identity }) => identity.id === id);
    if (held !== undefined) return toStored(held);
    const cached = await this.#cached(recipe, id, operation);
    const { release, initrdModules } = facts.parse(
      JSON.parse(await readFile(join(cached, factsFile), 'utf8')),
    );
    const token = newToken(8);
    const path = join(directory, `kernel-${token}`);
    const identity = {
      path,
      id,
      name,
      release,
      initrdModules,
      createdAt: new Date().toISOString(),
    };
    return toStored(
      await claims.ensure({ key: id, scope: 'store', token, identity }, async () => {
        await mkdir(path);
        const observed = await observePath(path);
        await linkFolder(cached, path, this.#options.exec, operation.signal);
        return { value: undefined, observed };
      }),
    );
  }

  async #cached(recipe: KernelRecipe, id: string, operation: OperationContext): Promise<string> {
    const { exec, cacheDirectory } = this.#options;
    const { name } = recipe;
    const { path } = await ensureCachedFolder(
      cacheDirectory,
      id,
      (folder, scratch) => buildKernel(recipe, folder, scratch, exec, operation),
      {
        signal: operation.signal,
        onWait: () => {
          operation.progress({ text: `kernel ${name}: waiting for whoever fetches it already` });
        },
      },
    );
    return path;
  }
}
