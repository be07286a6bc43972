/** One deliberate defect: a piece of the built code, replaced. */
export interface Mutant {
  /** What is broken, as in the table: `settle before the handler`. */
  readonly name: string;
  /** Below `packages/`: `core/dist/runtime/settler.js`. */
  readonly file: string;
  /** Must stand in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Another piece of the file, where one alone is guarded against by another. */
  readonly also?: Pick<Mutant, 'find' | 'replace'>;
  /** The scenarios that must fail with it. */
  readonly caughtBy: readonly string[];
  /**
   * Where they do: a harness of `conformance/`. Those of this process are one table. `chaos`: no scenario does, a run of
   * `pnpm chaos` must. @default 'memory'
   */
  readonly broker?: 'memory' | 'memory-sparse' | 'rabbitmq' | 'chaos';
}

/** `source` with the defect. Throws when the piece is not there exactly once: the mutant is out of date. */
export function mutate(source: string, { name, file, find, replace, also }: Mutant): string {
  const edits = [{ find, replace }, ...(also === undefined ? [] : [also])];
  return edits.reduce((text, edit) => {
    const pieces = text.split(edit.find);
    if (pieces.length !== 2)
      throw new Error(`mutant "${name}": its text stands ${pieces.length - 1} times in ${file}, not once`);
    return pieces.join(edit.replace);
  }, source);
}
