// docs/conformance.md is made of docs/conformance.json, which has a full and good run of every driver; what drivers
// declare is what docs/capabilities.json expects. `node scripts/checks/conformance.mjs --write` renews page and table.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { root } from '../bootstrap.mjs';
import { CAPABILITIES, page, PAGE, readJson, RESULTS } from '../conformance/record.mjs';
import { declaredCapabilities, SUBJECTS } from '../conformance/subjects.mjs';
import { read } from './files.mjs';

export async function check() {
  const { SCENARIOS } = await suite();
  const declared = await declaredCapabilities();
  const reports = readJson(RESULTS) ?? [];
  return [
    ...problemsOfReports(reports, SCENARIOS, SUBJECTS),
    ...problemsOfCapabilities(declared, readJson(CAPABILITIES) ?? {}),
    ...(await problemsOfPage()),
  ];
}

/** What the recorded runs lack, or show. */
export function problemsOfReports(reports, scenarios, subjects) {
  const known = new Set(scenarios.map(({ id }) => id));
  const missing = [...new Set(subjects.map(({ driver }) => driver))]
    .filter((name) => !reports.some(({ driver }) => driver === name))
    .map((driver) => `${RESULTS} has no run of ${driver}: pnpm conformance --full ${driver} --record`);
  return [
    ...missing,
    ...reports.flatMap(({ driver, version, results }) => {
      const run = new Set(results.map(({ scenario }) => scenario));
      const say = (text) => `${RESULTS}, ${driver} ${version}: ${text}`;
      return [
        ...scenarios.filter(({ id }) => !run.has(id)).map(({ id }) => say(`${id} was not run`)),
        ...[...run].filter((id) => !known.has(id)).map((id) => say(`there is no scenario ${id}`)),
        ...results.filter(({ outcome }) => outcome === 'failed').map(({ scenario }) => say(`${scenario} failed`)),
      ];
    }),
  ];
}

/** Where a driver declares something else than is expected of it. */
export function problemsOfCapabilities(declared, expected) {
  const drivers = [...new Set([...Object.keys(declared), ...Object.keys(expected)])];
  return drivers.flatMap((driver) => {
    const [own = {}, wanted = {}] = [declared[driver], expected[driver]];
    const names = [...new Set([...Object.keys(own), ...Object.keys(wanted)])];
    return names
      .filter((name) => own[name] !== wanted[name])
      .map((name) => `${driver} declares ${name} ${own[name]}, and ${CAPABILITIES} expects ${wanted[name]}`);
  });
}

export async function writePage() {
  writeFileSync(join(root, PAGE), await render());
}

async function problemsOfPage() {
  const written = existsSync(join(root, PAGE)) ? read(PAGE) : '';
  if (written === (await render())) return [];
  return [`${PAGE} is not what ${RESULTS} says. Renew it: node scripts/checks/conformance.mjs --write`];
}

async function render() {
  const { SCENARIOS, GUARANTEES } = await suite();
  return page({
    reports: readJson(RESULTS) ?? [],
    scenarios: SCENARIOS,
    guarantees: GUARANTEES,
    capabilities: readJson(CAPABILITIES) ?? {},
  });
}

function suite() {
  return import(pathToFileURL(join(root, 'packages/conformance/dist/index.js')).href);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href && process.argv.includes('--write')) {
  writeFileSync(join(root, CAPABILITIES), `${JSON.stringify(await declaredCapabilities(), undefined, 2)}\n`);
  await writePage();
}
