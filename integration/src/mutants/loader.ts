import type { LoadHook } from 'node:module';
import { type Mutant, mutate } from './mutant.ts';

let mutant: Mutant | undefined;

/** Called by `register` with the mutant of this process. */
export function initialize(data: Mutant): void {
  mutant = data;
}

/** Loads the one mutated file changed, and everything else as it is. */
export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (mutant === undefined || !url.endsWith(`/packages/${mutant.file}`)) return loaded;
  return { ...loaded, source: mutate(textOf(loaded.source), mutant) };
};

function textOf(source: unknown): string {
  return typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString();
}
