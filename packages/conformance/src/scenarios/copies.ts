import type { Scenario } from '../scenario.ts';

export const copies: readonly Scenario[] = [];
