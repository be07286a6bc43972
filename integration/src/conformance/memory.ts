import type { Harness } from '@waybill/conformance';
import { memoryHarness } from './memory-harness.ts';

/** Copies of dead letters go through `send`, as on most brokers. */
export const harness: Harness = memoryHarness('memory', { capabilities: { reject: 'none' } });
