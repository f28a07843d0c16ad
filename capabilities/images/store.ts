import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { distance } from 'fastest-levenshtein';
import {
  BangerError,
  linkFolder,
  newToken,
  observePath,
  reconcilePath,
  toBangerError,
  type Claim,
  type Claims,
  type Executor,
  type Images,
  type ImageSpec,
  type Kernels,
  type OperationContext,
  type PathObserved,
  type StoredKernel,
} from '../../core/plugin-api/index.ts';
import { rootFile, workSeedFile } from './build.ts';
import { ImageCache, type CachedImage } from './cache.ts';
import type { ImagesIdentity, StoredIdentity } from './identity.ts';
import { recipeHash } from './keys.ts';
import { imageRecipes, type ImageRecipe } from './recipe.ts';
import { SharedBuilds } from './shared-builds.ts';

/** How many letters a name may be off to be meant. */
const maxTypos = 3;

type ImageClaims = Claims<ImagesIdentity, PathObserved>;

export interface StoredImage {
  readonly claim: Claim<ImagesIdentity, PathObserved>;
  readonly identity: StoredIdentity;
}

export interface ImageStoreOptions {
  readonly claims: ImageClaims;
  readonly exec: Executor;
  readonly directory: string;
  readonly cacheDirectory: string;
  readonly kernels: Kernels;
}

export const toSpec = ({ claim, identity }: StoredImage): ImageSpec => ({
  id: identity.id,
  name: identity.name,
  claimId: claim.id,
  rootPath: join(identity.path, rootFile),
  workSeedPath: join(identity.path, workSeedFile),
  init: identity.init,
});

/** Images that this daemon holds, each a folder of hard links into the user's cache. */
export class ImageStore implements Images {
  readonly #options: ImageStoreOptions;
  readonly #cache: ImageCache;
  readonly #builds = new SharedBuilds<StoredImage>();

  constructor(options: ImageStoreOptions) {
    this.#options = options;
    const { exec, cacheDirectory, directory } = options;
    this.#cache = new ImageCache({ exec, cacheDirectory, logDirectory: directory });
  }

  /** The newest first. */
  list(): StoredImage[] {
    return this.#options.claims
      .list({ scope: 'store' })
      .flatMap((claim) =>
        claim.identity.kind === 'image' ? [{ claim, identity: claim.identity }] : [],
      )
      .reverse();
  }

  /** Which VM is of which image. */
  bindings(): { readonly vmId: string; readonly imageId: string }[] {
    return this.#options.claims
      .list({ scope: 'vm', all: true })
      .flatMap(({ identity, ownerId }) =>
        identity.kind === 'binding' && ownerId !== null
          ? [{ vmId: ownerId, imageId: identity.imageId }]
          : [],
      );
  }

  #recipe(name: string): ImageRecipe {
    const recipe = imageRecipes.find((known) => known.name === name);
    if (recipe !== undefined) return recipe;
    const names = imageRecipes.map((known) => known.name);
    const near = names.find((known) => distance(known, name) <= maxTypos);
    const hint = near === undefined ? '' : `; did you mean '${near}'?`;
    throw new BangerError(
      'IMAGE_UNKNOWN',
      `there is no image '${name.slice(0, 80)}'${hint} (there are: ${names.join(', ')})`,
    );
  }

  assertKnown(name: string): Promise<void> {
    return Promise.resolve().then(() => {
      this.#recipe(name);
    });
  }

  /** @throws BangerError IMAGE_UNKNOWN */
  byId(id: string): StoredImage {
    const image = this.list().find(({ identity }) => identity.id === id);
    if (image === undefined)
      throw new BangerError('IMAGE_UNKNOWN', `the image ${id} is not stored here any more`);
    return image;
  }

  /**
   * The image of that name, built first where it is absent or `rebuild` asks for it.
   * @throws BangerError IMAGE_UNKNOWN, IMAGE_BUILD_FAILED, DISK_FULL, TOOL_MISSING
   */
  async resolve(name: string, operation: OperationContext, rebuild = false): Promise<StoredImage> {
    const recipe = this.#recipe(name);
    const current = rebuild ? undefined : await this.#current(recipe);
    if (current !== undefined) return current;
    try {
      return await this.#builds.join(name, rebuild, operation, (shared) =>
        this.#build(recipe, shared, rebuild),
      );
    } catch (thrown) {
      if (operation.signal.aborted) throw operation.signal.reason;
      const error = toBangerError(thrown);
      if (error.code !== 'COMMAND_FAILED' && error.code !== 'INTERNAL') throw error;
      throw new BangerError(
        'IMAGE_BUILD_FAILED',
        `image '${name}' could not be built: ${error.message}`,
        { cause: thrown },
      );
    }
  }

  /** The stored image of that very recipe; one whose folder was removed by hand is forgotten. */
  async #current(recipe: ImageRecipe): Promise<StoredImage | undefined> {
    const wanted = recipeHash(recipe);
    const found = this.list().find(
      ({ identity }) => identity.name === recipe.name && identity.recipe === wanted,
    );
    if (found === undefined) return undefined;
    const { claim, identity } = found;
    if ((await reconcilePath(identity.path, claim.observed)) === 'healthy') return found;
    if (await this.#releaseUnused(found)) return undefined;
    const users = this.bindings().filter(({ imageId }) => imageId === identity.id).length;
    throw new BangerError(
      'IMAGE_IN_USE',
      `the files of image '${recipe.name}' in ${identity.path} are gone, and ${users} VM(s) are of it`,
      { remedy: 'Delete those VMs (`banger image show` names them); then it can be built again.' },
    );
  }

  async #build(
    recipe: ImageRecipe,
    operation: OperationContext,
    rebuild: boolean,
  ): Promise<StoredImage> {
    const { kernels } = this.#options;
    const kernel = await kernels.resolve(recipe.kernel, operation);
    const cached = await this.#cache.ensure(recipe, kernel, rebuild, operation);
    const built = await this.#store(recipe, kernel, cached, operation.signal);
    for (const old of this.list()) {
      const isOld = old.identity.name === recipe.name && old.identity.id !== cached.id;
      if (isOld && (await this.#releaseUnused(old)))
        await this.#cache.remove(old.identity.id, undefined, operation.signal);
    }
    return built;
  }

  async #store(
    recipe: ImageRecipe,
    kernel: StoredKernel,
    cached: CachedImage,
    signal: AbortSignal,
  ): Promise<StoredImage> {
    const { claims, directory, exec } = this.#options;
    const token = newToken(8);
    const path = join(directory, `image-${token}`);
    await claims.ensure(
      {
        key: cached.id,
        scope: 'store',
        token,
        identity: {
          kind: 'image',
          path,
          id: cached.id,
          name: recipe.name,
          recipe: recipeHash(recipe),
          init: recipe.init,
          kernelId: kernel.id,
          createdAt: new Date().toISOString(),
        },
        uses: [kernel.claimId],
      },
      async () => {
        await mkdir(path);
        const observed = await observePath(path);
        await linkFolder(cached.path, path, exec, signal);
        return { value: undefined, observed };
      },
    );
    return this.byId(cached.id);
  }

  /** @returns whether it is gone */
  async #releaseUnused({ claim }: StoredImage): Promise<boolean> {
    try {
      await this.#options.claims.release(claim);
      return true;
    } catch (error) {
      if (toBangerError(error).code === 'CLAIM_IN_USE') return false;
      throw error;
    }
  }

  /**
   * All images of that name, here and in the cache.
   * @throws BangerError IMAGE_UNKNOWN, IMAGE_IN_USE (names the VMs)
   */
  async delete(
    name: string,
    nameOfVm: (id: string) => string,
    signal: AbortSignal,
  ): Promise<string[]> {
    const images = this.list().filter(({ identity }) => identity.name === name);
    const recipe = imageRecipes.find((known) => known.name === name);
    if (images.length === 0) {
      this.#recipe(name);
      throw new BangerError(
        'IMAGE_UNKNOWN',
        `image '${name}' is not built, so there is nothing to delete`,
      );
    }
    const ids = images.map(({ identity }) => identity.id);
    const assertUnused = (isUsed = false): void => {
      const users = this.bindings().filter(({ imageId }) => ids.includes(imageId));
      if (users.length === 0 && !isUsed) return;
      const vms = users.map(({ vmId }) => nameOfVm(vmId)).join(', ');
      throw new BangerError('IMAGE_IN_USE', `image '${name}' is used by: ${vms}`);
    };
    // All or none: one of them in use keeps the rest.
    assertUnused();
    for (const image of images) {
      // A start that began in between.
      if (!(await this.#releaseUnused(image))) assertUnused(true);
      await this.#cache.remove(image.identity.id, recipe, signal);
    }
    return ids;
  }

  /** Bytes on disk of both files; they are sparse. */
  async bytes({ identity }: StoredImage): Promise<number> {
    const sizes = await Promise.all(
      [rootFile, workSeedFile].map(async (file) => (await stat(join(identity.path, file))).blocks),
    );
    // st_blocks counts 512-byte units whatever the file system's block size is: stat(2).
    return sizes.reduce((sum, blocks) => sum + blocks * 512, 0);
  }
}
