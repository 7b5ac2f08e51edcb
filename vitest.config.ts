import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // They need a cluster: KUBECONFIG=… npm run test:kube
    exclude: process.env['KUBECONFIG'] === undefined ? ['test/kube/**'] : [],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
