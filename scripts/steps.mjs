// Runs the steps of `pnpm check` side by side and says how each went.
import { availableParallelism } from 'node:os';

/**
 * Runs the steps named in `only`, and the steps that those come after, as many at a time as there are cores. A step whose
 * `after` failed fails unrun. `after` names a step further up. Resolves with how many passed and failed, and the names of those that failed.
 */
export async function runSteps(steps, only, print = (text) => process.stdout.write(text)) {
  const needed = new Set(steps.flatMap(({ name, after }) => (only.includes(name) ? [name, after] : [])));
  const waiting = steps.filter(({ name }) => needed.has(name));
  const started = new Map();
  const worker = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const running = runStep(step, started.get(step.after), print);
      started.set(step.name, running);
      await running;
    }
  };
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, worker));
  const failures = [];
  for (const [name, running] of started) if (!(await running)) failures.push(name);
  return { passed: started.size - failures.length, failed: failures.length, failures };
}

async function runStep({ name, after, load }, before, print) {
  if (before !== undefined && !(await before)) {
    print(`     –    not run  ${name}: ${after} failed\n`);
    return false;
  }
  const startedAt = Date.now();
  const problems = await load()
    .then(({ check }) => check())
    .catch((error) => [error instanceof Error ? error.message : String(error)]);
  const time = ((Date.now() - startedAt) / 1000).toFixed(1).padStart(6);
  print(`${time} s  ${problems.length === 0 ? 'ok     ' : 'FAILED '}  ${name}\n`);
  if (problems.length > 0) print(`\n${problems.join('\n')}\n\n`);
  return problems.length === 0;
}
