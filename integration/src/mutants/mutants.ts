import type { Mutant } from './mutant.ts';

/** Every scenario is failed by at least one of these, and each of these is caught. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'publish resolves before the broker stored it',
    file: 'core/dist/runtime/publisher.js',
    find: 'this.#timed.add(entry);',
    replace: 'this.#timed.add(entry); resolve();',
    caughtBy: ['stored-before-resolve'],
  },
];
