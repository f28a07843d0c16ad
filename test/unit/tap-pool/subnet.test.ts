import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { macOf } from '../../../capabilities/tap-pool/mac.ts';
import {
  candidates,
  chooseSubnet,
  collisionOf,
  gatewayOf,
  gatewayWithPrefix,
  guestAddresses,
  isSubnet,
  networkOf,
  overlap,
} from '../../../capabilities/tap-pool/subnet.ts';

const octet = fc.integer({ min: 0, max: 255 });
const token = fc.stringMatching(/^[a-z2-7]{6}$/);
/** Any network that a routing table may name, most of them in private ranges. */
const range = fc
  .tuple(
    fc.oneof(fc.constantFrom(10, 172, 192), octet),
    fc.oneof(fc.integer({ min: 64, max: 127 }), octet),
    octet,
    octet,
    fc.integer({ min: 8, max: 32 }),
  )
  .map(([a, b, c, d, length]) => networkOf(`${[a, b, c, d].join('.')}/${String(length)}`));
const occupied = fc.array(
  range.map((each) => ({ range: each, by: `the route ${each}` })),
  { maxLength: 40 },
);

/** Straight from the definition: 32 bits, the first `length` of them equal. */
const bits = (address: string): string =>
  address
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
const overlapByBits = (one: string, other: string): boolean => {
  const [[a = '', m], [b = '', n]] = [one.split('/'), other.split('/')];
  const length = Math.min(Number(m), Number(n));
  return bits(a).slice(0, length) === bits(b).slice(0, length);
};

describe('subnet', () => {
  it('knows when two networks overlap', () => {
    fc.assert(
      fc.property(range, range, (one, other) => {
        expect(overlap(one, other)).toBe(overlapByBits(one, other));
      }),
    );
  });

  it('chosen collides with nothing, and is the same each time', () => {
    fc.assert(
      fc.property(token, occupied, (instance, taken) => {
        const chosen = chooseSubnet(instance, taken);
        expect(chooseSubnet(instance, taken)).toBe(chosen);
        if (chosen === undefined) return;
        expect(isSubnet(chosen)).toBe(true);
        expect(collisionOf(chosen, taken)).toBeUndefined();
      }),
    );
  });

  it('is chosen outside of 10.0.0.0/8 where a VPN has all of that', () => {
    const vpn = { range: '10.0.0.0/8', by: 'the route 10.0.0.0/8 dev tun0' };
    expect(chooseSubnet('abcdef', [vpn])).toMatch(/^172\.(1[6-9]|2\d|3[01])\.\d+\.0\/24$/);
    const all = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];
    expect(
      chooseSubnet(
        'abcdef',
        all.map((each) => ({ range: each, by: '' })),
      ),
    ).toBeUndefined();
  });

  it('tries each candidate once', () => {
    const all = [...candidates('abcdef')];
    expect(all).toHaveLength(64 * 256 + 16 * 256 + 256);
    expect(new Set(all).size).toBe(all.length);
    expect(all.every(isSubnet)).toBe(true);
  });

  it('has the gateway first, then guests, and no broadcast address', () => {
    expect(gatewayOf('10.64.255.0/29')).toBe('10.64.255.1');
    expect(gatewayWithPrefix('10.64.255.0/29')).toBe('10.64.255.1/29');
    expect([...guestAddresses('10.64.255.0/29')]).toEqual(
      [2, 3, 4, 5, 6].map((last) => `10.64.255.${String(last)}`),
    );
    const wide = [...guestAddresses('10.64.0.0/16')];
    expect([wide[254], wide.at(-1)]).toEqual(['10.64.1.0', '10.64.255.254']);
  });

  it.each(['10.64.3.0', '10.64.3.1/24', '10.64.3.0/30', '10.0.0.0/8', 'fd00::/64', '10.64/16', ''])(
    'refuses %j in the configuration',
    (text) => {
      expect(isSubnet(text)).toBe(false);
    },
  );
});

describe('macOf', () => {
  it('is a local unicast MAC of the address’s own', () => {
    expect(macOf('10.64.3.255')).toBe('02:ba:0a:40:03:ff');
    expect(macOf('10.64.3.1/24')).toBe('02:ba:0a:40:03:01');
  });
});
