import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They need a cluster of their own: KUBECONFIG=… npm run test:kube, npm run test:cluster
    exclude: ['test/cluster/**', ...(process.env['KUBECONFIG'] === undefined ? ['test/kube/**'] : [])],
    // Real processes on a busy machine: a test that fails there has to fail again to count.
    retry: process.env['CI'] === 'true' ? 2 : 0,
    // Much of the time goes by in waiting for real processes.
    maxWorkers: Math.max(2, availableParallelism()),
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
