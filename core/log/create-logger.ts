import { destination, pino, stdTimeFunctions } from 'pino';
import type { Logger } from './logger.ts';

/** JSON lines to a file, written at once: a daemon that is killed has said what it did. */
export const createLogger = (path: string, level: string): Logger =>
  pino(
    { level, base: { pid: process.pid }, timestamp: stdTimeFunctions.isoTime },
    destination({ dest: path, sync: true, mkdir: true, mode: 0o600 }),
  );
