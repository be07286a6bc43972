import type { Scenario } from '../scenario.ts';

export const storedFaults: readonly Scenario[] = [];
