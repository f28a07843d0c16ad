import type { Reporter, TestCase, TestModule } from 'vitest/node';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Counts by project, the reason of each skip, and last of all one plain line that a script can read:
 * `N passed, N failed, N skipped`. A file that fails before its tests counts as one failure.
 */
export default class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const byProject = new Map<string, Counts>();
    const skips: string[] = [];
    for (const module of modules) {
      const counts = byProject.get(module.project.name) ?? { passed: 0, failed: 0, skipped: 0 };
      byProject.set(module.project.name, counts);
      if (module.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) this.#count(test, counts, skips);
    }
    const total = { passed: 0, failed: errors.length, skipped: 0 };
    const lines: string[] = [''];
    for (const [project, counts] of byProject) {
      lines.push(`${project}: ${String(counts.passed)} passed, ${String(counts.failed)} failed`);
      for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += counts[key];
    }
    lines.push(...skips.map((skip) => `skipped: ${skip}`), '');
    lines.push(
      `${String(total.passed)} passed, ${String(total.failed)} failed, ${String(total.skipped)} skipped`,
    );
    // After the default reporter's own summary, which is printed in the same hook.
    process.on('exit', () => {
      process.stdout.write(lines.join('\n') + '\n');
    });
  }

  #count(test: TestCase, counts: Counts, skips: string[]): void {
    const result = test.result();
    if (result.state === 'passed') counts.passed++;
    else if (result.state === 'failed') counts.failed++;
    else {
      counts.skipped++;
      const note = result.state === 'skipped' ? result.note : undefined;
      skips.push(`${test.fullName}: ${note ?? 'NO REASON GIVEN'}`);
    }
  }
}
