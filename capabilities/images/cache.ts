import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  BangerError,
  ensureCachedFolder,
  removeCachedFolder,
  removeFilesTree,
  toBangerError,
  type CachedFolderOptions,
  type Executor,
  type OperationContext,
  type StoredKernel,
} from '../../core/plugin-api/index.ts';
import { buildFilesystems, buildPackages, packagesFile } from './build.ts';
import { imageId, packagesKey } from './keys.ts';
import type { ImageRecipe } from './recipe.ts';

const digestFile = 'packages.sha256';

const digestOf = async (path: string): Promise<string> => {
  const digest = createHash('sha256');
  await pipeline(createReadStream(path), digest);
  return digest.digest('hex');
};

export interface CachedImage {
  /** Content id; also the folder's name. */
  readonly id: string;
  readonly path: string;
}

export interface ImageCacheOptions {
  readonly exec: Executor;
  readonly cacheDirectory: string;
  /** Where a failed build's output goes. */
  readonly logDirectory: string;
}

/**
 * What is expensive to make, in the user's cache: a folder per step, keyed by what goes into it and finished
 * or not there, so that an interrupted build goes on with the step that is missing. Shared by all state
 * directories of the user.
 */
export class ImageCache {
  readonly #options: ImageCacheOptions;

  constructor(options: ImageCacheOptions) {
    this.#options = options;
  }

  /** @throws BangerError DISK_FULL with the folder's path, IMAGE_BUILD_FAILED, TOOL_MISSING */
  async ensure(
    recipe: ImageRecipe,
    kernel: StoredKernel,
    fromNewestPackages: boolean,
    operation: OperationContext,
  ): Promise<CachedImage> {
    const { cacheDirectory, exec } = this.#options;
    try {
      const packages = await this.#packages(recipe, fromNewestPackages, operation);
      const digest = await readFile(join(packages, digestFile), 'utf8');
      const id = imageId(recipe, kernel.id, digest);
      const { path } = await ensureCachedFolder(
        cacheDirectory,
        id,
        (folder, scratch) =>
          buildFilesystems(recipe, join(packages, packagesFile), kernel, folder, scratch, {
            exec,
            operation,
          }),
        this.#with(recipe, operation),
      );
      return { id, path };
    } catch (thrown) {
      const error = toBangerError(thrown);
      if (error.code !== 'DISK_FULL') throw thrown;
      throw new BangerError(
        'DISK_FULL',
        `there is no room for image '${recipe.name}' in ${cacheDirectory}: ${error.message}`,
        { cause: thrown, ...(error.logPath === undefined ? {} : { logPath: error.logPath }) },
      );
    }
  }

  async #packages(
    recipe: ImageRecipe,
    fromNewestPackages: boolean,
    operation: OperationContext,
  ): Promise<string> {
    const { cacheDirectory, exec, logDirectory } = this.#options;
    const key = packagesKey(recipe);
    const options = this.#with(recipe, operation);
    if (fromNewestPackages) await removeCachedFolder(cacheDirectory, key, options);
    // For the attempts until one comes through: what is downloaded outlives an interruption.
    const downloads = join(cacheDirectory, `${key}.downloads`);
    const { path } = await ensureCachedFolder(
      cacheDirectory,
      key,
      async (folder, scratch) => {
        try {
          await buildPackages(recipe, join(folder, packagesFile), {
            exec,
            operation,
            scratch,
            downloads,
            logPath: join(logDirectory, `build-${recipe.name}.log`),
          });
          await writeFile(join(folder, digestFile), await digestOf(join(folder, packagesFile)));
        } catch (error) {
          // They may be what is wrong: the next attempt starts afresh.
          if (!operation.signal.aborted) await removeFilesTree(exec, downloads);
          throw error;
        }
        await removeFilesTree(exec, downloads);
      },
      options,
    );
    return path;
  }

  /** Image and packages; the state directories' hard links stay. */
  async remove(id: string, recipe: ImageRecipe | undefined, signal: AbortSignal): Promise<void> {
    const { cacheDirectory, exec } = this.#options;
    const options = { signal, removeTree: (path: string) => removeFilesTree(exec, path) };
    await removeCachedFolder(cacheDirectory, id, options);
    if (recipe !== undefined)
      await removeCachedFolder(cacheDirectory, packagesKey(recipe), options);
  }

  #with({ name }: ImageRecipe, operation: OperationContext): CachedFolderOptions {
    return {
      signal: operation.signal,
      removeTree: (path) => removeFilesTree(this.#options.exec, path),
      onWait: () => {
        operation.progress({ text: `image ${name}: waiting for whoever builds it already` });
      },
    };
  }
}
