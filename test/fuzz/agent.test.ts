import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Executor } from '../../core/host/executor.ts';
import { eachAtOnce, processors } from '../../scripts/fuzz.d/at-once.ts';
import { describeResult, runTarget } from '../../scripts/fuzz.d/run-target.ts';
import { buildTargets, fuzzFolder, seedsOf, targetNames } from '../../scripts/fuzz.d/targets.ts';
import { openExecutor } from '../../scripts/lib/executor.ts';
import { describeUnless, needsTools } from '../support/skip.ts';

/** Of all targets together, on all processors. */
const totalSeconds = 60;
/** The defect is found within one. */
const defectSeconds = 30;
/** Of the slowest target, within its share of the time on a machine that others use as well. */
const fewExecutions = 1_000;

describeUnless(needsTools('clang', 'make'), 'the agent, fuzzed', () => {
  let exec: Executor & AsyncDisposable;
  let folder: string;
  let targets: readonly string[];
  beforeAll(async () => {
    exec = await openExecutor();
    folder = await mkdtemp(join(tmpdir(), 'bgr-fuzz-'));
    targets = await targetNames();
    await buildTargets(targets, join(folder, 'build'), { exec });
  }, 300_000);
  afterAll(async () => {
    await exec[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  it('has seeds for each target', async () => {
    for (const target of targets)
      expect(await readdir(seedsOf(target)), target).not.toHaveLength(0);
  });

  it('takes whatever there is', { timeout: (totalSeconds + 120) * 1000 }, async () => {
    const rounds = Math.ceil(targets.length / processors);
    const seconds = Math.max(1, Math.floor(totalSeconds / rounds));
    const results = await eachAtOnce(targets, (target) =>
      runTarget(target, join(folder, 'build', target), {
        exec,
        seconds,
        corpus: join(folder, 'corpus', target),
        seeds: [seedsOf(target)],
        found: join(fuzzFolder, 'found', target),
      }),
    );
    console.log(results.map(describeResult).join('\n'));
    for (const { target, failure, executions, coverage } of results) {
      const failed = `${target} fails with ${failure?.path ?? ''}\n${failure?.report ?? ''}`;
      expect(failure, failed).toBeUndefined();
      expect(executions, target).toBeGreaterThan(fewExecutions);
      expect(coverage, target).toBeGreaterThan(0);
    }
  });

  it('finds a defect that was put in', { timeout: (defectSeconds + 300) * 1000 }, async () => {
    const build = join(folder, 'defect');
    await buildTargets(['cobs'], build, { exec, defect: true });
    const corpus = join(folder, 'defect-corpus');
    const found = join(folder, 'defect-found');
    // Without seeds: it is the fuzzer that has to come to it.
    const options = { exec, seconds: defectSeconds, corpus, found };
    const { failure } = await runTarget('cobs', join(build, 'cobs'), options);
    expect(failure?.report).toContain('heap-buffer-overflow');
    expect(failure?.report).toContain('cobs_decode');
    const input = failure?.path ?? '';
    expect(existsSync(input)).toBe(true);
    // The input is the defect's, and no other's.
    await exec.run(join(build, 'cobs'), [input], { okCodes: [1, 77] });
    await exec.run(join(folder, 'build', 'cobs'), [input]);
  });
});
