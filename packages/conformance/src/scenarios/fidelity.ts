import type { Scenario } from '../scenario.ts';

export const fidelity: readonly Scenario[] = [];
