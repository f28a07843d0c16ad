import { join } from 'node:path';
import { BangerError } from '../../errors.ts';
import { nativeProgram } from '../../host/native-program.ts';

/**
 * Bytes of one log file; the one before it (`….1`) is kept as well. So a guest that floods its console takes 4 MiB of
 * the host, and the VMM's own words take as much.
 */
const logBytes = 2 * 1024 ** 2;

const consoleLog = 'console.log';
const vmmLog = 'vmm.log';

export const vmmLogs = (folder: string): Readonly<Record<'console' | 'vmm', string>> => ({
  console: join(folder, consoleLog),
  vmm: join(folder, vmmLog),
});

/** What a VMM is started through: it keeps the logs in the working directory small. */
export const boundedOutput = (): readonly [string, ...string[]] => {
  const program = nativeProgram('vmm', 'bounded-output');
  if (program === undefined) {
    throw new BangerError('TOOL_MISSING', 'bounded-output, which keeps logs small, is not built', {
      remedy: 'Build it: npm run build',
    });
  }
  return [program, String(logBytes), consoleLog, vmmLog];
};
