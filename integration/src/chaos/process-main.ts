import type { CreateDriver } from '@waybill/conformance';
import { consume } from './consumer.ts';
import type { Live, Order, Running, Start } from './order.ts';
import { publish } from './publisher.ts';
import { LEASE_MS } from './workload.ts';

const TELL_EVERY_MS = 1_000;
const WEIGH_EVERY_MS = 5_000;
let running: Running | undefined;

process.on('message', (order: Order) => {
  void (order.do === 'start' ? start(order) : close());
});
// Whoever started this process is gone.
process.on('disconnect', () => process.exit(0));

async function start(order: Start): Promise<void> {
  const { createDriver } = (await import(order.module.url)) as { readonly createDriver: CreateDriver };
  const driver = createDriver(order.module.options, { leaseMs: LEASE_MS });
  running = order.role.is === 'publisher' ? publish(driver, order, order.role, close) : await consume(driver, order);
  tell();
  setInterval(tell, TELL_EVERY_MS);
  setInterval(weigh, WEIGH_EVERY_MS);
  process.send?.({ is: 'ready' });
}

function tell(): void {
  if (running !== undefined) process.send?.({ is: 'counts', ...running.counts() });
}

/** What the process occupies depends on when V8 last collected; what it holds does not. */
function weigh(): void {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.({ is: 'live', mib: (heapUsed + external) / 2 ** 20 } satisfies Live);
}

/** Resolves never: the process ends. */
async function close(): Promise<void> {
  await running?.close();
  tell();
  process.exit(0);
}
