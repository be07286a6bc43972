import type { Result } from './run.ts';

/** What was tested. */
interface Subject {
  readonly driver: string;
  readonly version: string;
}

/** One line of `conformance.json`. */
export interface ReportLine {
  readonly driver: string;
  readonly version: string;
  readonly scenario: string;
  readonly outcome: Result['outcome'];
  readonly durationMs: number;
  /** Day of the run. */
  readonly date: string;
}

export function reportOf({ driver, version }: Subject, results: readonly Result[]): readonly ReportLine[] {
  const date = new Date().toISOString().slice(0, 10);
  return results.map(({ id, outcome, durationMs }) => ({ driver, version, scenario: id, outcome, durationMs, date }));
}

/** What a person wants to know at the end: every failure with its history, then the counts. */
export function summarize({ driver, version }: Subject, results: readonly Result[], tookMs: number): string {
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  const count = (outcome: Result['outcome']): number => results.filter((result) => result.outcome === outcome).length;
  const counts = [
    `${count('passed')} passed`,
    `${failed.length} failed`,
    `${count('refused')} not declared`,
    `${count('not applicable')} not applicable`,
  ].join(', ');
  const failures = failed.map(({ note }) => `\n${note ?? ''}\n`).join('');
  return `${failures}\n${driver} ${version}: ${counts}, ${Math.round(tookMs / 1000)} s\n`;
}
