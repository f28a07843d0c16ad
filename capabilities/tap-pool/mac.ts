/**
 * The MAC that belongs to an address: `02:ba:` (locally administered) and its four octets. A later guest with the
 * same address has the same MAC, so that no neighbour's ARP entry is ever wrong; and a bridge with a MAC
 * of its own does not take over its ports' MACs, which would change when a tap goes.
 */
export const macOf = (address: string): string =>
  [
    '02',
    'ba',
    ...address
      .replace(/\/.*/, '')
      .split('.')
      .map((octet) => Number(octet).toString(16).padStart(2, '0')),
  ].join(':');
