import type { Scenario } from '../scenario.ts';

export const atLeastOnce: readonly Scenario[] = [];
