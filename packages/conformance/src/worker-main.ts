import type { CreateDriver } from './harness.ts';
import { type Entry, History, recorded } from './history.ts';
import { loadModule } from './load-module.ts';
import { heldBy, type Running, runProgram } from './program.ts';
import type { Answer, Order } from './worker.ts';

/** Resolves once the other end can read it, whatever becomes of this process. */
const answer = (message: Answer): Promise<void> =>
  new Promise((resolve) => {
    if (process.send === undefined) return resolve();
    process.send(message, () => resolve());
  });
let running: Running | undefined;

/** A message for each entry would cost more than what it tells of. */
const TELL_EVERY_MS = 20;
let untold: Entry[] = [];

function tellLater(entry: Entry): void {
  if (untold.push(entry) > 1) return;
  setTimeout(() => void tellHistory(), TELL_EVERY_MS);
}

function tellHistory(): Promise<void> {
  const entries = untold;
  untold = [];
  return answer({ is: 'history', entries });
}

process.on('message', (order: Order) => {
  void obey(order).catch((error: unknown) => answer({ is: 'failed', message: String(error) }));
});
// Whoever started this process is gone.
process.on('disconnect', () => process.exit(0));

async function obey(order: Order): Promise<void> {
  if (order.do === 'held') return answer({ is: 'held', held: heldBy(running) });
  if (order.do === 'close') {
    await running?.bus.close({ deadlineMs: order.deadlineMs });
    await tellHistory();
    return process.exit(0);
  }
  const { createDriver } = (await loadModule(order.module.url)) as { readonly createDriver: CreateDriver };
  const driver = createDriver(order.module.options, order.settings);
  running = await runProgram(
    recorded(driver, new History(tellLater), order.name),
    order.program,
    (report) => answer({ is: 'report', report }),
    () => process.kill(process.pid, 'SIGKILL'),
  );
  await answer({ is: 'ready' });
}
