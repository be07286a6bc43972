import { after, test } from 'node:test';
import { registerConformance } from '@waybill/conformance';
import { harness } from './harness.ts';

registerConformance({
  harness,
  quick: true,
  test: (name, run, timeoutMs) => test(name, { timeout: timeoutMs }, run),
});
after(() => harness.close());
