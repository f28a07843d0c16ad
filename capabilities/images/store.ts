import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { distance } from 'fastest-levenshtein';
import {
  BangerError,
  ensureCachedFolder,
  linkFolder,
  newToken,
  observePath,
  removeCachedFolder,
  removeFilesTree,
  toBangerError,
  type CachedFolderOptions,
  type Claim,
  type Claims,
  type Executor,
  type Images,
  type ImageSpec,
  type Kernels,
  type OperationContext,
  type PathObserved,
} from '../../core/plugin-api/index.ts';
import {
  buildFilesystems,
  buildPackages,
  packagesFile,
  rootFile,
  workSeedFile,
  type BuildContext,
} from './build.ts';
import type { ImagesIdentity, StoredIdentity } from './identity.ts';
import { imageRecipes, type ImageRecipe } from './recipe.ts';

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

/** Raise it when the build puts something else into the files than the recipe says. */
const builderVersion = 1;
const digestFile = 'packages.sha256';

const hash = (...parts: readonly string[]): string =>
  createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);

const recipeHash = (recipe: ImageRecipe): string =>
  hash(JSON.stringify(recipe), String(builderVersion));

const packagesHash = ({ suite, packages }: ImageRecipe): string =>
  hash(suite, JSON.stringify(packages));

const digestOf = async (path: string): Promise<string> => {
  const digest = createHash('sha256');
  await pipeline(createReadStream(path), digest);
  return digest.digest('hex');
};

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

  constructor(options: ImageStoreOptions) {
    this.#options = options;
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
    const near = names.find((known) => distance(known, name) <= 3);
    const hint = near === undefined ? `there are: ${names.join(', ')}` : `did you mean '${near}'?`;
    throw new BangerError('IMAGE_UNKNOWN', `there is no image '${name.slice(0, 80)}'; ${hint}`);
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
    const current = this.list().find(
      ({ identity }) => identity.name === name && identity.recipe === recipeHash(recipe),
    );
    if (current !== undefined && !rebuild) return current;
    try {
      const built = await this.#build(recipe, operation, rebuild);
      for (const old of this.list()) {
        const isOld = old.identity.name === name && old.identity.id !== built.identity.id;
        if (isOld) await this.#releaseUnused(old);
      }
      return built;
    } catch (thrown) {
      const error = toBangerError(thrown);
      if (error.code !== 'COMMAND_FAILED' && error.code !== 'INTERNAL') throw error;
      throw new BangerError(
        'IMAGE_BUILD_FAILED',
        `image '${name}' could not be built: ${error.message}`,
        { cause: thrown },
      );
    }
  }

  async #build(
    recipe: ImageRecipe,
    operation: OperationContext,
    rebuild: boolean,
  ): Promise<StoredImage> {
    const { kernels, cacheDirectory, exec, claims, directory } = this.#options;
    const kernel = await kernels.resolve(recipe.kernel, operation);
    const context: BuildContext = { exec, operation };
    const packages = await this.#packages(recipe, context, rebuild);
    const digest = await readFile(join(packages, digestFile), 'utf8');
    const id = hash(recipeHash(recipe), kernel.id, digest);
    const { path: cached } = await ensureCachedFolder(
      cacheDirectory,
      id,
      (folder, scratch) =>
        buildFilesystems(recipe, join(packages, packagesFile), kernel, folder, scratch, context),
      this.#cacheOptions(recipe, context),
    );
    const token = newToken(8);
    const path = join(directory, `image-${token}`);
    await claims.ensure(
      {
        key: id,
        scope: 'store',
        token,
        identity: {
          kind: 'image',
          path,
          id,
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
        await linkFolder(cached, path, exec, operation.signal);
        return { value: undefined, observed };
      },
    );
    return this.byId(id);
  }

  async #packages(recipe: ImageRecipe, context: BuildContext, rebuild: boolean): Promise<string> {
    const { cacheDirectory } = this.#options;
    const key = `packages-${packagesHash(recipe)}`;
    const options = this.#cacheOptions(recipe, context);
    if (rebuild) await removeCachedFolder(cacheDirectory, key, options);
    const { path } = await ensureCachedFolder(
      cacheDirectory,
      key,
      async (folder) => {
        await buildPackages(recipe, folder, context);
        await writeFile(join(folder, digestFile), await digestOf(join(folder, packagesFile)));
      },
      options,
    );
    return path;
  }

  #cacheOptions({ name }: ImageRecipe, { exec, operation }: BuildContext): CachedFolderOptions {
    return {
      signal: operation.signal,
      removeTree: (path) => removeFilesTree(exec, path),
      onWait: () => {
        operation.progress({ text: `image ${name}: waiting for whoever builds it already` });
      },
    };
  }

  async #releaseUnused({ claim }: StoredImage): Promise<void> {
    try {
      await this.#options.claims.release(claim);
    } catch (error) {
      if (toBangerError(error).code !== 'CLAIM_IN_USE') throw error;
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
    if (images.length === 0) {
      const isKnown = imageRecipes.some((recipe) => recipe.name === name);
      throw new BangerError(
        'IMAGE_UNKNOWN',
        isKnown
          ? `image '${name}' is not built, so there is nothing to delete`
          : `there is no image '${name}'`,
      );
    }
    const ids = new Set(images.map(({ identity }) => identity.id));
    const users = this.bindings().filter(({ imageId }) => ids.has(imageId));
    if (users.length > 0) {
      const vms = users.map(({ vmId }) => nameOfVm(vmId)).join(', ');
      throw new BangerError('IMAGE_IN_USE', `image '${name}' is used by: ${vms}`);
    }
    for (const { claim, identity } of images) {
      await this.#options.claims.release(claim);
      await removeCachedFolder(this.#options.cacheDirectory, identity.id, { signal });
    }
    const recipe = imageRecipes.find((known) => known.name === name);
    if (recipe !== undefined) {
      const packages = `packages-${packagesHash(recipe)}`;
      await removeCachedFolder(this.#options.cacheDirectory, packages, { signal });
    }
    return [...ids];
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
