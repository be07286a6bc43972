import type { Result } from './run.ts';

/** What was tested. */
interface Subject {
  readonly driver: string;
  readonly version: string;
}

/** What `--json` writes. */
export interface Report extends Subject {
  /** Day of the run. */
  readonly date: string;
  readonly results: readonly ReportLine[];
}

export interface ReportLine {
  readonly scenario: string;
  readonly outcome: Result['outcome'];
  readonly durationMs: number;
  /** Why it is not applicable, or how what is not declared was refused, or what failed. */
  readonly note?: string;
}

export function reportOf({ driver, version }: Subject, results: readonly Result[]): Report {
  return {
    driver,
    version,
    date: new Date().toISOString().slice(0, 10),
    results: results.map(({ id, outcome, durationMs, note }) => ({
      scenario: id,
      outcome,
      durationMs,
      ...(note === undefined ? {} : { note }),
    })),
  };
}

/** What a person wants to know at the end: every failure with its history, then the counts. */
export function summarize({ driver, version }: Subject, results: readonly Result[], tookMs: number): string {
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  const count = (outcome: Result['outcome']): number => results.filter((result) => result.outcome === outcome).length;
  const counts = [
    `${count('passed')} passed`,
    `${failed.length} failed`,
    `${count('refused')} not declared and refused`,
    `${count('not applicable')} not applicable`,
  ].join(', ');
  const failures = failed.map(({ note }) => `\n${note ?? ''}\n`).join('');
  return `${failures}\n${driver} ${version}: ${counts}, ${Math.round(tookMs / 1000)} s\n`;
}
