import { destination, pino, stdTimeFunctions } from 'pino';
import type { Logger } from './logger.ts';

/** Kept in memory while the disk is full; what is beyond is dropped. */
const maxUnwrittenBytes = 1024 ** 2;

/** JSON lines to a file, written at once: a daemon that is killed has said what it did. */
export const createLogger = (path: string, level: string): Logger => {
  const file = destination({
    dest: path,
    sync: true,
    mkdir: true,
    mode: 0o600,
    maxLength: maxUnwrittenBytes,
  });
  // A disk without room: nobody can be told, and it is no reason to end. Each line tries again.
  file.on('error', () => undefined);
  return pino({ level, base: { pid: process.pid }, timestamp: stdTimeFunctions.isoTime }, file);
};
