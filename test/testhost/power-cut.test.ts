import { describe, expect, inject, it } from 'vitest';
import { cutPower, describeCut } from './support/power-cuts.ts';

const rounds = 2;

describe('a host whose power is cut', () => {
  it('boots into a banger that goes on from there', async () => {
    const cuts = await cutPower({
      stageDisk: inject('stageDisk'),
      rounds,
      onCut: (cut, round) => {
        console.log(describeCut(cut, round));
      },
    });
    expect(cuts.map(({ problems }) => problems)).toEqual(cuts.map(() => []));
    expect(cuts).toHaveLength(rounds);
  });
});
