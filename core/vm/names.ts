import { randomInt } from 'node:crypto';

const adjectives =
  'amber bold brave brisk calm clever coral crisp eager early fair fleet fond gentle glad golden grand happy honest jolly keen kind lively lucid lucky mellow merry mild neat nimble noble polite proud quick quiet rapid ready rosy royal silent silver sleek smart snug solid spry steady sunny swift tidy vivid warm wise witty zesty';
const nouns =
  'acorn aspen badger beech birch bison brook cedar comet condor coral crane delta dune eagle ember falcon fern finch fjord fox gecko grove hare harbor heron ibis iris jay kite lark lemur linden lynx maple marten mesa moth newt oak orca osprey otter owl panda pine puffin quail raven reef robin sparrow spruce stoat swan thrush tiger tulip walrus willow wren';

const pick = (words: string): string => {
  const list = words.split(' ');
  return list[randomInt(list.length)] ?? 'vm';
};

/** A name for a VM that was given none, such as `brisk-otter`; with a number once many are taken. */
export const generateName = (isTaken: (name: string) => boolean): string => {
  for (let attempt = 0; ; attempt++) {
    const name = `${pick(adjectives)}-${pick(nouns)}`;
    const full = attempt < 8 ? name : `${name}-${String(randomInt(10_000))}`;
    if (!isTaken(full)) return full;
  }
};
