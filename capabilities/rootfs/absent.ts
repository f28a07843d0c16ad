/** Undefined where what was asked for is not there: with ENOENT, or one of these codes of Node's. */
export const unlessAbsent = async <T>(
  work: Promise<T>,
  ...codes: readonly string[]
): Promise<T | undefined> => {
  try {
    return await work;
  } catch (error) {
    if (['ENOENT', ...codes].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined;
    throw error;
  }
};
