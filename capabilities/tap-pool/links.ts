import { writeFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BangerError, newToken, z, type Executor } from '../../core/plugin-api/index.ts';

const link = z.object({
  ifname: z.string(),
  ifindex: z.int(),
  ifalias: z.string().optional(),
  master: z.string().optional(),
  operstate: z.string().optional(),
});
const linkWithAddresses = link.extend({
  addr_info: z.array(z.object({ local: z.string().optional(), prefixlen: z.int().optional() })),
});

export type Link = z.output<typeof link>;

/** All links; `ip` gives an empty object for one that goes away meanwhile. */
export const listLinks = async (exec: Executor): Promise<Link[]> => {
  const { stdout } = await exec.run('ip', ['-j', 'link', 'show']);
  const all = z.array(z.union([link, z.object({})])).parse(JSON.parse(stdout));
  return all.filter((each): each is Link => 'ifname' in each);
};

export const findLink = async (exec: Executor, name: string): Promise<Link | undefined> =>
  (await listLinks(exec)).find(({ ifname }) => ifname === name);

export const addressesOf = async (exec: Executor, name: string): Promise<string[]> => {
  const { stdout } = await exec.run('ip', ['-j', '-4', 'address', 'show', 'dev', name], {
    okCodes: [0, 1],
  });
  if (stdout.trim() === '') return [];
  return z
    .array(z.union([linkWithAddresses, z.object({})]))
    .parse(JSON.parse(stdout))
    .flatMap((each) => ('addr_info' in each ? each.addr_info : []))
    .flatMap(({ local, prefixlen }) =>
      local === undefined ? [] : [`${local}/${String(prefixlen)}`],
    );
};

/** Destinations of all IPv4 routes, of every table. */
export const routeDestinations = async (exec: Executor): Promise<string[]> => {
  const { stdout } = await exec.run('ip', ['-j', '-4', 'route', 'show', 'table', 'all']);
  return z
    .array(z.object({ dst: z.string().optional() }))
    .parse(stdout.trim() === '' ? [] : JSON.parse(stdout))
    .flatMap(({ dst }) => (dst === undefined || dst === 'default' ? [] : [dst]));
};

/** Several `ip` commands in one process. Input goes by file: standard input is the helpers lock. */
export const ipBatch = async (
  exec: Executor,
  directory: string,
  commands: readonly string[],
  signal?: AbortSignal,
): Promise<void> => {
  const file = join(directory, `batch-${newToken(8)}.tmp`);
  await writeFile(file, commands.join('\n') + '\n', { flag: 'wx', mode: 0o600 });
  try {
    await exec.run('ip', ['-batch', file], {
      privileged: true,
      ...(signal === undefined ? {} : { signal }),
    });
  } finally {
    await rm(file, { force: true });
  }
};

/** Deletes a link of ours; absent is done. */
export const deleteLink = async (exec: Executor, name: string): Promise<void> => {
  const { exitCode, stderr } = await exec.run('ip', ['link', 'delete', 'dev', name], {
    privileged: true,
    okCodes: [0, 1],
  });
  if (exitCode !== 0 && !stderr.includes('Cannot find device'))
    throw new BangerError('NETWORK_UNAVAILABLE', `link ${name}: ${stderr.trim()}`);
};
