import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BangerError,
  ensureCachedFolder,
  linkFolder,
  newToken,
  observePath,
  reconcilePath,
  toBangerError,
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
import { recipeKey } from './keys.ts';
import { kernelRecipes, type KernelRecipe } from './recipe.ts';

type KernelClaims = Claims<KernelIdentity, PathObserved>;
type KernelClaim = Claim<KernelIdentity, PathObserved>;

const facts = z.object({
  id: z.string(),
  release: z.string(),
  initrdModules: z.array(z.string()),
});

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
    const current = this.list().find(({ key }) => key.startsWith(`${recipeKey(recipe)}-`));
    if (current !== undefined) {
      const { path } = current.identity;
      if ((await reconcilePath(path, current.observed)) === 'healthy') return toStored(current);
      await this.#forget(current);
    }
    const stored = await this.#store(recipe, operation);
    for (const old of this.list()) {
      if (old.identity.name === name && old.id !== stored.id) await this.#releaseUnused(old);
    }
    return toStored(stored);
  }

  async #store(recipe: KernelRecipe, operation: OperationContext): Promise<KernelClaim> {
    const { claims, directory, exec } = this.#options;
    const cached = await this.#cached(recipe, operation);
    const { id, release, initrdModules } = facts.parse(
      JSON.parse(await readFile(join(cached, factsFile), 'utf8')),
    );
    const token = newToken(8);
    const path = join(directory, `kernel-${token}`);
    return claims.ensure(
      {
        key: `${recipeKey(recipe)}-${id}`,
        scope: 'store',
        token,
        identity: {
          path,
          id,
          name: recipe.name,
          release,
          initrdModules,
          createdAt: new Date().toISOString(),
        },
      },
      async () => {
        await mkdir(path);
        const observed = await observePath(path);
        await linkFolder(cached, path, exec, operation.signal);
        return { value: undefined, observed };
      },
    );
  }

  /** Its folder was removed by someone else. */
  async #forget(claim: KernelClaim): Promise<void> {
    try {
      await this.#options.claims.release(claim);
    } catch (error) {
      const { code, message } = toBangerError(error);
      if (code !== 'CLAIM_IN_USE') throw error;
      throw new BangerError(
        'KERNEL_UNKNOWN',
        `the kernel in ${claim.identity.path} is gone, and ${message}`,
        {
          remedy:
            'Delete the images that use it with `banger image delete`; the next build fetches it.',
        },
      );
    }
  }

  async #releaseUnused(claim: KernelClaim): Promise<void> {
    try {
      await this.#options.claims.release(claim);
    } catch (error) {
      if (toBangerError(error).code !== 'CLAIM_IN_USE') throw error;
    }
  }

  /** Bytes on disk of the whole folder. */
  async bytes({ identity: { path } }: KernelClaim): Promise<number> {
    const names = await readdir(path);
    const sizes = await Promise.all(
      names.map(async (name) => (await stat(join(path, name))).blocks),
    );
    // st_blocks counts 512-byte units whatever the file system's block size is: stat(2).
    return sizes.reduce((sum, blocks) => sum + blocks * 512, 0);
  }

  async #cached(recipe: KernelRecipe, operation: OperationContext): Promise<string> {
    const { exec, cacheDirectory } = this.#options;
    const { name } = recipe;
    const { path } = await ensureCachedFolder(
      cacheDirectory,
      recipeKey(recipe),
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
