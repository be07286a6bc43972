// docs/conformance.json holds the newest result of each scenario on each driver and version; docs/conformance.md is the matrix of it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { root } from '../bootstrap.mjs';

export const RESULTS = 'docs/conformance.json';
export const CAPABILITIES = 'docs/capabilities.json';
export const PAGE = 'docs/conformance.md';

const MARKS = { passed: '✓', refused: 'not declared', 'not applicable': '–', failed: 'FAILS' };

export function readJson(file) {
  const path = join(root, file);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

/** Puts the results of these reports in the place of older ones, and drops those of scenarios that are not `known` any more. */
export function recordReports(fresh, known) {
  const reports = merged(readJson(RESULTS) ?? [], fresh).toSorted(byDriverAndVersion);
  const all = reports.map((report) => ({
    ...report,
    results: report.results.filter(({ scenario }) => known.has(scenario)),
  }));
  writeFileSync(join(root, RESULTS), `[\n${all.map(reportText).join(',\n')}\n]\n`);
}

/** A report of some scenarios renews these, and the day, of the one on record. */
export function merged(recorded, fresh) {
  const reports = [...recorded];
  for (const report of fresh) {
    const at = reports.findIndex(({ driver, version }) => driver === report.driver && sameLine(report, version));
    if (at === -1) reports.push(report);
    else reports[at] = { ...report, results: mergedResults(reports[at].results, report.results) };
  }
  return reports;
}

function mergedResults(recorded, fresh) {
  const renewed = new Map(fresh.map((result) => [result.scenario, result]));
  const known = new Set(recorded.map(({ scenario }) => scenario));
  return [
    ...recorded.map((result) => renewed.get(result.scenario) ?? result),
    ...fresh.filter(({ scenario }) => !known.has(scenario)),
  ];
}

/** 4.3.6 follows 4.3.5 and stands beside 4.0.5, and beside "4.3.6, 3 nodes". */
function sameLine({ version }, other) {
  const line = (text) => text.replace(/^(\d+\.\d+)[^,]*/, '$1');
  return line(version) === line(other);
}

function byDriverAndVersion(left, right) {
  const order = left.driver.localeCompare(right.driver);
  return order === 0 ? right.version.localeCompare(left.version, undefined, { numeric: true }) : order;
}

/** A line for each result, so that a change shows what changed. */
function reportText({ results, ...subject }) {
  const lines = results.map((result) => `      ${JSON.stringify(result)}`).join(',\n');
  const head = JSON.stringify(subject).slice(0, -1);
  return `  ${head},\n    "results": [\n${lines}\n    ]\n  }`;
}

/** The page, from the reports, the scenarios and what the drivers declare. */
export function page({ reports, scenarios, guarantees, capabilities }) {
  return `${[
    '# Conformance',
    'What Waybill promises, and the runs that prove it. Each line is a scenario of `@waybill/conformance`, run with real faults on a real broker; what a driver does not declare was proven to be refused, and what a broker cannot be made to suffer says why. `pnpm conformance --full --record` writes `conformance.json`, from which this page is made; `pnpm check` compares the two.',
    '## Runs',
    table([
      [
        'driver',
        'version',
        'date',
        'passed',
        'not declared',
        'not applicable',
        'failed',
        'scenarios, one after the other',
      ],
      ...reports.map(summaryRow),
    ]),
    '## Scenarios',
    `✓ holds · – not applicable, see the end`,
    ...Object.entries(guarantees).flatMap(([guarantee, promise]) => {
      const own = scenarios.filter((scenario) => scenario.guarantee === guarantee);
      return [
        `### ${guarantee}`,
        `${capital(promise)}.`,
        table([
          ['scenario', ...reports.map(nameOf), 'what holds'],
          ...own.map(({ id, sentence }) => [`\`${id}\``, ...reports.map((report) => cell(report, id)), sentence]),
        ]),
      ];
    }),
    '## Not applicable',
    notApplicable(reports),
    '## What the drivers declare',
    'A bus that needs what its driver does not declare is refused at start. Times are in ms, sizes in bytes.',
    capabilityTable(capabilities),
  ].join('\n\n')}\n`;
}

const nameOf = ({ driver, version }) => `${driver} ${version}`;
const capital = (text) => text[0].toUpperCase() + text.slice(1);

function summaryRow(report) {
  const { driver, version, date, results } = report;
  const count = (wanted) => String(results.filter(({ outcome }) => outcome === wanted).length);
  const seconds = Math.round(results.reduce((sum, { durationMs }) => sum + durationMs, 0) / 1000);
  return [
    driver,
    version,
    date,
    ...['passed', 'refused', 'not applicable', 'failed'].map(count),
    `${Math.floor(seconds / 60)} min ${seconds % 60} s`,
  ];
}

function cell({ results }, id) {
  const result = results.find(({ scenario }) => scenario === id);
  return result === undefined ? 'not run' : MARKS[result.outcome];
}

function notApplicable(reports) {
  const lines = reports.flatMap((report) => {
    const reasons = new Map();
    for (const { scenario, outcome, note } of report.results) {
      if (outcome === 'not applicable') reasons.set(note, [...(reasons.get(note) ?? []), `\`${scenario}\``]);
    }
    return [...reasons].map(([why, ids]) => `- ${nameOf(report)}, ${why}: ${ids.join(', ')}`);
  });
  return lines.length === 0 ? 'Nothing.' : lines.join('\n');
}

function capabilityTable(capabilities) {
  const drivers = Object.keys(capabilities);
  const names = [...new Set(Object.values(capabilities).flatMap(Object.keys))];
  return table([
    ['capability', ...drivers],
    ...names.map((name) => [`\`${name}\``, ...drivers.map((driver) => String(capabilities[driver][name] ?? ''))]),
  ]);
}

/** Columns as wide as the formatter makes them. */
export function table([head, ...rows]) {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => [...row[column]].length)));
  const pad = (text, width) => text + ' '.repeat(width - [...text].length);
  const line = (row) => `| ${row.map((text, column) => pad(text, widths[column])).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
