import type { Harness } from '@waybill/conformance';
import { serviceBusHarness } from './service-bus-harness.ts';

// Which one depends on whether images can be had.
export const harness: Harness = await serviceBusHarness();
