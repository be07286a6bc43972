import type { Scenario } from '../scenario.ts';

export const attempts: readonly Scenario[] = [];
