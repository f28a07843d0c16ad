import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';

/** 64 bits: among the kernels of one host no two are alike by accident. */
const idDigits = 16;

/** What the files hold and what they are called, in this order. */
export const contentId = async (folder: string, names: readonly string[]): Promise<string> => {
  const whole = createHash('sha256');
  for (const name of names) {
    const file = createHash('sha256');
    for await (const chunk of createReadStream(join(folder, name))) file.update(chunk as Buffer);
    whole.update(`${name}\0${file.digest('hex')}\n`);
  }
  return whole.digest('hex').slice(0, idDigits);
};
