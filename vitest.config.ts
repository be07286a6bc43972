import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const packages = readdirSync(at('packages'), { withFileTypes: true }).filter((entry) => entry.isDirectory());

// Unit tests: no network, no container. Those on real brokers have integration/vitest.config.ts and docs/vitest.config.ts.
export default defineConfig({
  resolve: {
    // The source, not the build: no build needed, and each module is loaded once.
    alias: [
      { find: /^@waybill\/core\/driver$/, replacement: at('packages/core/src/driver/index.ts') },
      { find: /^@waybill\/([a-z-]+)$/, replacement: `${at('packages')}/$1/src/index.ts` },
    ],
  },
  test: {
    // For what never ends: a machine may be slow.
    testTimeout: 40_000,
    hookTimeout: 40_000,
    teardownTimeout: 10_000,
    // It would leave one free: of two cores that is half.
    maxWorkers: '100%',
    // A process per file: a test that leaves something behind harms no other, and its heap is its own.
    pool: 'forks',
    projects: [
      ...packages.map(({ name }) => ({
        extends: true as const,
        test: { name, root: at(`packages/${name}`), include: ['test/**/*.test.ts'], exclude: ['test/broker/**'] },
      })),
      { extends: true, test: { name: 'scripts', root: at('scripts'), include: ['test/**/*.test.mjs'] } },
    ],
  },
});
