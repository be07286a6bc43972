// Each kind of fault once on each broker, in about two minutes, two brokers at a time.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { root } from './bootstrap.mjs';
import { quickSubjects, SUBJECTS } from './conformance/subjects.mjs';

/** As many messages as a broker can take beside another one on two cores. */
const RUNS = [
  { name: 'sqs', messages: 5_000 },
  { name: 'rabbitmq', messages: 15_000 },
  { name: 'kafka', messages: 15_000 },
  { name: 'service-bus', messages: 8_000 },
];
const SECONDS = 88;
const SEED = 1;
const AT_ONCE = 2;

/**
 * Resolves with how many brokers passed and failed, and with what failed on them. `start` gives the command of a run. Its
 * output follows live.
 */
export async function runShort(start) {
  const chosen = quickSubjects(SUBJECTS, process.env);
  const waiting = RUNS.map((each) => ({ ...each, subject: chosen.find(({ name }) => name === each.name) }));
  let [passed, failed] = [0, 0];
  const failures = [];
  const next = async () => {
    for (let each = waiting.shift(); each !== undefined; each = waiting.shift()) {
      if (each.subject === undefined) continue;
      const options = { broker: each.name, messages: each.messages, seconds: SECONDS, seed: SEED };
      const { code, lines } = await runOne(each.name, start(each.subject, options));
      if (code === 0) {
        passed += 1;
        continue;
      }
      failed += 1;
      const checks = lines.filter((line) => line.startsWith('FAILED'));
      failures.push(...(checks.length > 0 ? checks : lines.slice(-1)).map((line) => `chaos on ${each.name}: ${line}`));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  return { passed, failed, failures };
}

function runOne(name, { args, env }) {
  return new Promise((resolve, reject) => {
    const options = { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } };
    const child = spawn(process.execPath, args, options);
    const lines = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        process.stdout.write(`${name.padEnd(12)} ${line}\n`);
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, lines }));
  });
}
