import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Kernel } from '../kernel.ts';

/** What is below a VM's own path, save the question how it is. */
const ofVm = /^\/v1\/vms\/([^/?]+)\/([^/?]+)/;
const onlyLooks: ReadonlySet<string> = new Set(['health']);

/**
 * A request that works on a VM is its use for as long as it lasts (docs/idle.md): start and stop, commands, copies,
 * leases, whichever route serves them. Looking at a VM is none.
 */
export const countUse = (server: FastifyInstance, raw: Server, kernel: Kernel): void => {
  const begin = (url: string | undefined): (() => void) | undefined => {
    const [, name, what] = ofVm.exec(url ?? '') ?? [];
    if (name === undefined || what === undefined || onlyLooks.has(what)) return undefined;
    // A name needs no decoding: what does is none.
    const vm = kernel.vms.find(name);
    return vm === undefined ? undefined : kernel.usage.begin(vm.id);
  };
  server.addHook('onRequest', (request, reply, done) => {
    const end = begin(request.url);
    if (end !== undefined) reply.raw.once('close', end);
    done();
  });
  raw.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    const end = begin(request.url);
    if (end !== undefined) socket.once('close', end);
  });
};
