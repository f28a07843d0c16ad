import { randomBytes } from 'node:crypto';

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** RFC 4648 base32 letters in lower case, five bits each: fit for a device name, a UUID, a file name. */
export const encodeToken = (bytes: Uint8Array, length: number): string => {
  let token = '';
  for (let index = 0; index < length; index++) token += alphabet.charAt((bytes[index] ?? 0) & 31);
  return token;
};

/** A random claim token of `length` letters; 5 fit behind `bgr-` + instance in a device's name. */
export const newToken = (length = 5): string => encodeToken(randomBytes(length), length);
