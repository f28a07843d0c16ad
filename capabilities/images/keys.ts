import { createHash } from 'node:crypto';
import type { ImageRecipe } from './recipe.ts';

/** Raise it when the build puts something else into the files than the recipe says. */
const builderVersion = 3;

/** 64 bits: among the images of one host no two are alike by accident. */
const hash = (...parts: readonly string[]): string =>
  createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);

/** Another recipe, or another builder, is another image of the same name. */
export const recipeHash = (recipe: ImageRecipe): string =>
  hash(JSON.stringify(recipe), String(builderVersion));

/** Recipes with the same packages share them. */
export const packagesKey = ({ suite, packages }: ImageRecipe): string =>
  `packages-${hash(suite, JSON.stringify(packages))}`;

/**
 * Content id: all that goes into the two file systems.
 * @param digest of the packages' archive
 */
export const imageId = (recipe: ImageRecipe, kernelId: string, digest: string): string =>
  hash(recipeHash(recipe), kernelId, digest);
