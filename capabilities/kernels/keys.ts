import { createHash } from 'node:crypto';
import type { KernelRecipe } from './recipe.ts';

/** Raise it when buildKernel puts something else into the folder. */
const builderVersion = 4;

/** Names what goes into the build, and so its folder in the cache. */
export const recipeKey = (recipe: KernelRecipe): string =>
  createHash('sha256')
    .update(JSON.stringify({ ...recipe, builderVersion }))
    .digest('hex')
    .slice(0, 16);
