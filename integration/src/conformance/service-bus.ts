import { serviceBusHarness } from './service-bus-harness.ts';

export const harness: ReturnType<typeof serviceBusHarness> = serviceBusHarness();
