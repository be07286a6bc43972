import { registerConformance } from '@waybill/conformance';
import { afterAll, test } from 'vitest';

import { harness } from '../src/conformance/memory.ts';

// That scenarios register with a runner and pass on the reference driver; the whole set runs with the command.
registerConformance({
  harness,
  only: ['stored-before-resolve', 'retry-later', 'order-per-key', 'refusal-ordering'],
  test: (name, run, timeoutMs) => test(name, run, timeoutMs),
});
afterAll(() => harness.close());
