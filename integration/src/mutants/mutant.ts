interface Edit {
  /** Below `packages/`: `core/dist/runtime/settler.js`. */
  readonly file: string;
  /** Must stand in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** One deliberate defect: a piece of the built code, replaced. */
export interface Mutant extends Edit {
  /** What is broken, as in the table: `settle before the handler`. */
  readonly name: string;
  /** Replaced with it, where another part of the code would make the defect good. */
  readonly also?: readonly Edit[];
  /** The scenarios that must fail with it. */
  readonly caughtBy: readonly [string, ...string[]];
  /** Where they do: a harness of `conformance/`. Those of this process are one table. @default 'memory' */
  readonly broker?: 'memory' | 'memory-sparse' | 'rabbitmq';
}

/** The source of the file at `url` with the defect. Throws when a piece is not there exactly once: the mutant is out of date. */
export function mutate(source: string, url: string, mutant: Mutant): string {
  return editsOf(mutant, url).reduce((text, edit) => replaced(text, edit, mutant.name), source);
}

/** Whether the defect is in the file at `url`. */
export function isIn(mutant: Mutant, url: string): boolean {
  return editsOf(mutant, url).length > 0;
}

function editsOf(mutant: Mutant, url: string): readonly Edit[] {
  return [mutant, ...(mutant.also ?? [])].filter(({ file }) => url.endsWith(`/packages/${file}`));
}

function replaced(source: string, { file, find, replace }: Edit, name: string): string {
  const pieces = source.split(find);
  if (pieces.length !== 2)
    throw new Error(`mutant "${name}": its text stands ${pieces.length - 1} times in ${file}, not once`);
  return pieces.join(replace);
}
