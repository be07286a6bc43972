import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    name: 'docs',
    include: ['test/**/*.test.ts'],
    // They wait for processes and brokers: each test runs the built demo as a process of its own.
    maxWorkers: 3,
    testTimeout: 180_000,
  },
});
