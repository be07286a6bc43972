import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    name: 'integration',
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/brokers.ts'],
    // They wait more than they compute.
    maxWorkers: 4,
    // As built: Node loads it by itself. Transformed again for each file it is half of what loading a test file takes.
    server: { deps: { external: [/\/packages\/[^/]+\/dist\//] } },
    // For what never ends: a machine may be slow.
    testTimeout: 120_000,
    hookTimeout: 240_000,
    teardownTimeout: 30_000,
  },
});
