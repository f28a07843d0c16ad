import { once } from 'node:events';
import type { Duplex, Writable } from 'node:stream';
import { execFrame, ExecFrameDecoder } from '../../core/api/contract/exec-frames.ts';
import type { ErrorBody } from '../../core/errors.ts';
import type { Cli } from '../cli.ts';
import { explain } from '../client/call.ts';
import { CliError, codeOf, errorOf, exitCodes } from '../error.ts';

/** Waits while the reader is slow, which holds up the guest; returns early when it is gone. */
const write = async (stream: Writable, body: Buffer, gone: AbortSignal): Promise<void> => {
  if (gone.aborted || stream.destroyed || stream.write(body)) return;
  try {
    await once(stream, 'drain', { signal: gone });
  } catch (error) {
    if (codeOf(error) !== 'ABORT_ERR') throw error;
  }
};

/** Writes what the command writes. @returns the command's exit code, 128 + n for signal n */
export const writeOutput = async (
  cli: Cli,
  socket: Duplex,
  leave: AbortSignal,
  onTaken: (bytes: number) => void,
): Promise<number> => {
  const decoder = new ExecFrameDecoder();
  const outGone = AbortSignal.any([cli.outBroken, leave]);
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      for (const { type, body } of decoder.push(chunk)) {
        if (type === execFrame.stdout) await write(process.stdout, body, outGone);
        else if (type === execFrame.stderr) await write(process.stderr, body, leave);
        else if (type === execFrame.window) onTaken(body.readUInt32BE(0));
        else if (type === execFrame.exit)
          return body.readUInt8(0) === 0 ? body.readUInt8(1) : 128 + body.readUInt8(1);
        else if (type === execFrame.error)
          throw errorOf(JSON.parse(body.toString('utf8')) as ErrorBody);
        if (cli.outBroken.aborted) return exitCodes.brokenPipe;
      }
    }
  } catch (error) {
    leave.throwIfAborted();
    if (cli.outBroken.aborted) return exitCodes.brokenPipe;
    throw explain(error, cli.paths.socketPath);
  }
  leave.throwIfAborted();
  throw new CliError({
    code: 'DAEMON_UNREACHABLE',
    message: 'the connection to the daemon was cut while the command ran',
    remedy: 'See `banger vm list` and `banger daemon logs`.',
  });
};
