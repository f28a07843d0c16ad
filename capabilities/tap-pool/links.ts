import {
  BangerError,
  z,
  type Claim,
  type Executor,
  type Instance,
} from '../../core/plugin-api/index.ts';

/** What we read of `ip -j -d address show` (iproute2 ≥ 4.17). */
const shown = z.array(
  z.object({
    ifname: z.string(),
    ifalias: z.string().optional(),
    master: z.string().optional(),
    flags: z.array(z.string()).default([]),
    linkinfo: z.object({ info_kind: z.string().optional() }).optional(),
    addr_info: z
      .array(
        z.object({
          family: z.string(),
          local: z.string().optional(),
          prefixlen: z.int().optional(),
        }),
      )
      .default([]),
  }),
);

export interface Link {
  readonly name: string;
  readonly alias: string | undefined;
  readonly master: string | undefined;
  readonly kind: string | undefined;
  readonly isUp: boolean;
  /** IPv4 with prefix length. */
  readonly addresses: readonly string[];
}

/** All of them, in one unprivileged process: asking for one that is absent would be an error. */
export const listLinks = async (exec: Executor): Promise<Link[]> => {
  const { stdout } = await exec.run('ip', ['-j', '-d', 'address', 'show']);
  return shown.parse(JSON.parse(stdout)).map((link) => ({
    name: link.ifname,
    alias: link.ifalias,
    master: link.master,
    kind: link.linkinfo?.info_kind,
    isUp: link.flags.includes('UP'),
    addresses: link.addr_info.flatMap(({ family, local, prefixlen }) =>
      family === 'inet' && local !== undefined ? [`${local}/${String(prefixlen ?? 32)}`] : [],
    ),
  }));
};

/** What the kernel calls them in `linkinfo`. */
const kinds = { bridge: 'bridge', tap: 'tun' } as const;

type DeviceClaim = Pick<Claim<{ kind: 'bridge' | 'tap'; name: string }>, 'identity' | 'token'> & {
  readonly observed: object | undefined;
};

/**
 * The claim's device, or undefined where it is absent. `ip` cannot give a device its alias in the moment
 * that it makes it, so until the allocation came to its end our token in the name is proof enough.
 * @throws BangerError FOREIGN_OBJECT for another device of that name
 */
export const ownDevice = (
  links: readonly Link[],
  claim: DeviceClaim,
  instance: Instance,
): Link | undefined => {
  const { name, kind } = claim.identity;
  const link = links.find((each) => each.name === name);
  if (link === undefined) return undefined;
  const isMarked = link.alias === instance.marker(claim.token);
  const mayLackMarker = claim.observed === undefined && link.alias === undefined;
  if (link.kind === kinds[kind] && (isMarked || mayLackMarker)) return link;
  throw new BangerError(
    'FOREIGN_OBJECT',
    `the network device ${name} is not the ${kind} that was made under that name; it stays`,
    { remedy: `See it with \`ip -d link show ${name}\`; rename or remove it yourself.` },
  );
};
