import { stopEngine } from './engine.ts';
import { prepare } from './prepare-machine.ts';
import { printProgress } from './progress.ts';

try {
  await (process.argv.includes('--stop-engine') ? stopEngine() : prepare(printProgress()));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
