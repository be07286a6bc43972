import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    name: 'docs',
    include: ['test/**/*.test.ts'],
    // Each test runs the built demo as a process of its own.
    testTimeout: 180_000,
  },
});
