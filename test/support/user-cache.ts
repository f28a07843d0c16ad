import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { recipeKey } from '../../capabilities/kernels/keys.ts';
import { kernelRecipes } from '../../capabilities/kernels/recipe.ts';

/** Where the product caches for whoever runs the tests. */
export const userCache = (): string =>
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'banger');

export const kernelsFolder = 'kernels';

/** Whether all kernels are there as this build makes them: those of an earlier one have another key. */
export const hasKernels = (): boolean =>
  kernelRecipes.every((recipe) => existsSync(join(userCache(), kernelsFolder, recipeKey(recipe))));
