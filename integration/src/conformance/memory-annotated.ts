import type { Harness } from '@waybill/conformance';
import { memoryHarness } from './memory-harness.ts';

/** Moves dead letters itself, and swallows a copy whose id it has stored. */
export const harness: Harness = memoryHarness('memory-annotated', { deduplicationMs: 600_000 });
