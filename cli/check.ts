import { catalogue } from '../core/errors.ts';
import { parseSize } from '../core/size.ts';
import { isVmName } from '../core/vm/name.ts';
import { CliError, exitCodes, usageError } from './error.ts';

/** Input that is wrong whatever the daemon knows, refused before any call. Each throws a CliError. */

/** A VM's name; its id has the same form. */
export const checkVmName = (name: string): string => {
  if (isVmName(name)) return name;
  throw new CliError(
    {
      code: 'VM_NAME_INVALID',
      message: `'${name}' is not a VM name`,
      remedy: catalogue.VM_NAME_INVALID,
    },
    exitCodes.usage,
  );
};

export const checkVmNames = (names: readonly string[]): readonly string[] => {
  for (const name of names) checkVmName(name);
  return [...new Set(names)];
};

const mib = 1024 ** 2;

export const parseMemory = (text: string): number => {
  const bytes = parseSize(text, 'm');
  if (bytes === undefined || bytes < mib)
    throw usageError(
      `'${text}' is not a memory size`,
      'Say MiB as a number, or a unit, for example 512, 2G.',
    );
  return Math.round(bytes / mib);
};

export const parseDisk = (text: string): number => {
  const bytes = parseSize(text);
  if (bytes === undefined || bytes < mib)
    throw usageError(`'${text}' is not a disk size`, 'Say it with a unit, for example 8G.');
  return bytes;
};

export const parseBytes = (text: string): number => {
  const bytes = parseSize(text);
  if (bytes === undefined)
    throw usageError(`'${text}' is no size`, 'Say it with a unit, for example 100G.');
  return bytes;
};

export const parseCount = (text: string): number => {
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count) || count < 1)
    throw usageError(`'${text}' is not a count`, 'Use a whole number from 1 on.');
  return count;
};

export const parseSwitch = (text: string): boolean => {
  if (text !== 'on' && text !== 'off')
    throw usageError(`'${text}' is not a switch`, 'Say on or off.');
  return text === 'on';
};

export const parseVariable = (
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> => {
  const match = /^([^=]+)=(.*)$/s.exec(text);
  if (match?.[1] === undefined) throw usageError(`'${text}' sets no variable`, 'Write NAME=VALUE.');
  return { ...before, [match[1]]: match[2] ?? '' };
};
