import { request } from 'node:http';
import { BangerError, messageOf, z } from '../../../core/plugin-api/index.ts';
import type { components } from './types.ts';

type Schemas = components['schemas'];

/** The bodies of what we ask for, by path; an id stands for `{}`. */
export type ApiRequest =
  | {
      readonly method: 'PUT';
      readonly path: '/machine-config';
      readonly body: Schemas['MachineConfiguration'];
    }
  | { readonly method: 'PUT'; readonly path: '/boot-source'; readonly body: Schemas['BootSource'] }
  | { readonly method: 'PUT'; readonly path: `/drives/${string}`; readonly body: Schemas['Drive'] }
  | {
      readonly method: 'PATCH';
      readonly path: `/drives/${string}`;
      readonly body: Schemas['PartialDrive'];
    }
  | {
      readonly method: 'PUT';
      readonly path: `/network-interfaces/${string}`;
      readonly body: Schemas['NetworkInterface'];
    }
  | { readonly method: 'PUT'; readonly path: '/vsock'; readonly body: Schemas['Vsock'] }
  | { readonly method: 'PUT'; readonly path: '/entropy'; readonly body: Schemas['EntropyDevice'] }
  | { readonly method: 'PUT'; readonly path: '/balloon'; readonly body: Schemas['Balloon'] }
  | { readonly method: 'PUT'; readonly path: '/metrics'; readonly body: Schemas['Metrics'] }
  | { readonly method: 'PUT'; readonly path: '/serial'; readonly body: Schemas['SerialDevice'] }
  | { readonly method: 'PATCH'; readonly path: '/vm'; readonly body: Schemas['Vm'] }
  | {
      readonly method: 'PUT';
      readonly path: '/actions';
      readonly body: Schemas['InstanceActionInfo'];
    }
  | {
      readonly method: 'PUT';
      readonly path: '/snapshot/create';
      readonly body: Schemas['SnapshotCreateParams'];
    }
  | {
      readonly method: 'PUT';
      readonly path: '/snapshot/load';
      readonly body: Schemas['SnapshotLoadParams'];
    };

/** An answer has a line or two: more is not Firecracker's. */
const answerBytes = 65_536;
const answerMs = 10_000;

/** What it refuses has a `fault_message`; what its HTTP server cannot read, or has no room for, an `error`. */
const fault = z.union([
  z.object({ fault_message: z.string() }).transform(({ fault_message }) => fault_message),
  z.object({ error: z.string() }).transform(({ error }) => error),
]);

const reasonOf = (text: string): string => {
  try {
    // The server's own texts have line breaks in their strings, which JSON does not allow.
    const parsed = fault.safeParse(JSON.parse(text.replaceAll('\n', ' ')));
    if (parsed.success) return parsed.data;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return text.slice(0, 200);
};

type Call = ApiRequest | { readonly method: 'GET'; readonly path: '/'; readonly body?: undefined };

const answerOf = (
  socketPath: string,
  { method, path, body }: Call,
  signal: AbortSignal,
  silenceMs: number,
): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    const json = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = request({
      socketPath,
      method,
      path,
      agent: false,
      signal,
      timeout: silenceMs,
      // Always a length: Firecracker's server knows no chunks.
      headers:
        json === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) },
    });
    outgoing.once('timeout', () => {
      outgoing.destroy(new Error(`no answer in ${String(silenceMs)} ms`));
    });
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > answerBytes) response.destroy(new Error('too long an answer'));
      });
      response.once('error', reject);
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, text });
      });
    });
    outgoing.end(json);
  });

/** Nobody listens yet, or any more. */
export const isNobody = (error: unknown): boolean =>
  ['ENOENT', 'ECONNREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '');

/** @returns the body of what it answers */
const exchange = async (
  socketPath: string,
  call: Call,
  signal: AbortSignal,
  silenceMs = answerMs,
): Promise<string> => {
  const what = `${call.method} ${call.path}`;
  const { status, text } = await answerOf(socketPath, call, signal, silenceMs).catch(
    (error: unknown) => {
      signal.throwIfAborted();
      if (isNobody(error)) throw error;
      throw new BangerError(
        'VMM_FAILED',
        `Firecracker gives ${what} no answer that can be read: ${messageOf(error)}`,
        { cause: error },
      );
    },
  );
  if (status === 204 || status === 200) return text;
  throw new BangerError('VMM_FAILED', `Firecracker refuses ${what}: ${reasonOf(text)}`);
};

/**
 * @param silenceMs how long it may take to answer
 * @throws BangerError VMM_FAILED, in Firecracker's words, or where there are none; an error of the socket where nobody
 * listens on it; the signal's reason
 */
export const send = async (
  socketPath: string,
  call: ApiRequest,
  signal: AbortSignal,
  silenceMs?: number,
): Promise<void> => {
  await exchange(socketPath, call, signal, silenceMs);
};

const instance = z.object({ state: z.enum(['Not started', 'Running', 'Paused']) });

/** @throws as `send` does */
export const instanceState = async (
  socketPath: string,
  signal: AbortSignal,
): Promise<z.output<typeof instance>['state']> => {
  const text = await exchange(socketPath, { method: 'GET', path: '/' }, signal);
  try {
    return instance.parse(JSON.parse(text)).state;
  } catch (error) {
    throw new BangerError('VMM_FAILED', 'Firecracker does not say how it is', { cause: error });
  }
};
