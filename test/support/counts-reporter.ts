import type { Reporter, TestCase, TestModule, TestSuite, Vitest } from 'vitest/node';
import './skip.ts'; // TaskMeta.skipReason

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const none = (): Counts => ({ passed: 0, failed: 0, skipped: 0 });

const line = ({ passed, failed, skipped }: Counts): string =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;

/**
 * Counts by project, the reason of each skip, and last of all one plain line that a script can read:
 * `N passed, N failed, N skipped`. A file or a suite that fails outside its tests (an import, a hook)
 * counts as one failure.
 */
export default class CountsReporter implements Reporter {
  /** With `-t`, what the pattern leaves out is skipped, for no reason worth printing. */
  #filtered = false;

  onInit(vitest: Vitest): void {
    this.#filtered = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const byProject = new Map<string, Counts>();
    /** A suite's tests are skipped for one reason: one line. */
    const skips = new Map<string, number>();
    for (const module of modules) {
      const counts = byProject.get(module.project.name) ?? none();
      byProject.set(module.project.name, counts);
      for (const part of [module, ...module.children.allSuites()])
        if (part.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') counts.passed++;
        else if (state === 'failed') counts.failed++;
        else {
          counts.skipped++;
          const why = describeSkip(test, module);
          skips.set(why, (skips.get(why) ?? 0) + 1);
        }
      }
    }
    const total = { ...none(), failed: errors.length };
    const lines: string[] = [''];
    for (const [project, counts] of byProject) {
      lines.push(`${project}: ${line(counts)}`);
      for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
    }
    if (!this.#filtered) for (const [why, times] of skips) lines.push(`skipped (${times}): ${why}`);
    lines.push('', line(total), '');
    // After the default reporter's own summary, which is printed in the same hook.
    process.on('exit', () => process.stdout.write(lines.join('\n')));
  }
}

const describeSkip = (test: TestCase, { relativeModuleId: file }: TestModule): string => {
  const why = skippedSuite(test.parent);
  if (why !== undefined) return `${file} > ${why}`;
  const result = test.result();
  const note = result.state === 'skipped' ? result.note : undefined;
  return `${file} > ${test.fullName}: ${note ?? test.meta().skipReason ?? 'NO REASON GIVEN'}`;
};

/** The outermost suite that could not run. Its tests inherit its `meta`. */
const skippedSuite = (suite: TestSuite | TestModule): string | undefined => {
  if (suite.type === 'module') return undefined;
  const outer = skippedSuite(suite.parent);
  if (outer !== undefined) return outer;
  const reason = suite.errors().length > 0 ? 'a hook failed' : suite.meta().skipReason;
  return reason === undefined ? undefined : `${suite.fullName}: ${reason}`;
};
