import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { defineConfig } from 'vitest/config';

/** One cluster, one install: the files run one after the other, in the order of their names. */
class InOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return [...files].sort((a, b) => (a.moduleId < b.moduleId ? -1 : 1));
  }
}

export default defineConfig({
  test: {
    include: ['test/cluster/*.test.ts'],
    globalSetup: ['test/cluster/support/setup.ts'],
    fileParallelism: false,
    maxWorkers: 1,
    sequence: { sequencer: InOrder },
    // Later tests build on what earlier ones left; a cluster that is wrong stays wrong.
    bail: 1,
    // Bounds for what hangs, not expectations: waits are on conditions.
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
