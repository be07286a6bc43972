import type { Harness } from '@waybill/conformance';
import { memoryHarness } from './memory-harness.ts';

/** Can as little as a broker may: every type in every queue, one process at a time, coarse delays, short calls. */
export const harness: Harness = memoryHarness('memory-sparse', {
  capabilities: { filtersTypes: false, reject: 'bare', ordering: 'one-process', delayErrorMs: 1_000 },
  limits: { send: { count: 10 }, receive: { count: 10 }, settle: { count: 10 } },
});
