import type { Harness } from '@waybill/conformance';
import { elasticmqHarness } from './sqs-harness.ts';

export const harness: Harness = elasticmqHarness();
