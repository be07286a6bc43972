import type { Harness } from '@waybill/conformance';
import { localemuHarness } from './sqs-harness.ts';

export const harness: Harness = localemuHarness();
