import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    name: 'integration',
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/brokers.ts'],
    // They wait more than they compute.
    maxWorkers: 4,
    // Lateness is asserted, and a machine may pause once for longer than that; a defect does it twice.
    retry: 1,
    testTimeout: 30_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
  },
});
