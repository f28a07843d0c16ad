import { readFile, writeFile } from 'node:fs/promises';

/** /proc/cpuinfo of a CPU that has SVM. */
export const writeCpuinfo = async (path: string): Promise<void> => {
  const own = await readFile('/proc/cpuinfo', 'utf8');
  await writeFile(path, own.replaceAll(/^(flags\s*:.*)$/gm, '$1 svm'));
};
