// Which real broker gets the full set when time is short.
import { run } from '../bootstrap.mjs';

/**
 * The one that the change touches; of several, and where none is touched, they take turns by `turn`. Says why.
 * @returns {{ subject: object, why: string }}
 */
export function choose(subjects, changed, turn) {
  const real = subjects.filter((each) => each.real);
  const touched = real.filter(({ sources }) =>
    changed.some((file) => sources.some((source) => file.startsWith(source))),
  );
  const from = touched.length > 0 ? touched : real;
  const subject = from[turn % from.length];
  return { subject, why: touched.length > 0 ? 'this change touches it' : 'it is its turn' };
}

/** Files that differ from where this branch left the main one; of the last commit, on the main one itself. */
export async function changedFiles() {
  for (const base of [process.env.WAYBILL_CHANGE_BASE, 'origin/main...HEAD', 'HEAD~1']) {
    if (base === undefined || base === '') continue;
    const { code, output } = await run('git', ['diff', '--name-only', base], { quiet: true });
    const files = output.split('\n').filter((line) => line !== '');
    if (code === 0 && files.length > 0) return files;
  }
  return [];
}

/** Counts up once a day. */
export function turnOf(date) {
  return Math.floor(date.getTime() / 86_400_000);
}
