import { readFileSync } from 'node:fs';
import type { Mutant } from './mutant.ts';

/** Each of these is caught by the scenarios that it names. They stand in a file of data: most of it is code in text. */
export const MUTANTS: readonly Mutant[] = JSON.parse(
  readFileSync(new URL('../../mutants.json', import.meta.url), 'utf8'),
) as readonly Mutant[];
