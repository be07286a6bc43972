import { createBus, type Bus } from '@waybill/core';
import { openBroker } from './brokers.ts';
import { billing, mailer } from './contracts.ts';
import { billingHandlers, mailerHandlers, type Shop } from './handlers.ts';
import { type Line, readLines } from './input.ts';
import { type Options, readOptions } from './options.ts';
import { openProducers, type Producers } from './producers.ts';
import { describeLetters, describeRefusals, heading, type Refusal, withProgress } from './report.ts';
import { printResult } from './result.ts';
import { onInterrupt, Shutdown } from './shutdown.ts';
import { lettersOf, Tally } from './tally.ts';

const QUEUES = [billing, mailer];
/** Seconds and minutes by default; short here, so that a demo can be watched to its end. */
const RETRY = { delaysMs: [200, 500] };
const UNKNOWN_FOR_MS = 4_000;
const CONNECT_WITHIN_MS = 10_000;

async function demo({ broker: name, url, input }: Options, shutdown: Shutdown): Promise<boolean> {
  const lines = await readLines(input);
  const broker = await openBroker(name, { url, shutdown });
  const tally = new Tally(QUEUES.map((queue) => queue.name));
  const shop: Shop = { charged: new Map(), mailed: new Set(), fixed: false };
  const { prefix } = broker;

  // The consumers: one bus, two queues, each gets its own copy of every order.
  const driver = broker.connect();
  const bus = createBus({ source: '/order-demo', driver, uses: QUEUES, prefix, observe: tally.observe });
  let clean = async (): Promise<void> => {};
  shutdown.add(() => clean());
  shutdown.add(() => bus.close({ deadlineMs: 5_000 }));
  const signal = AbortSignal.timeout(CONNECT_WITHIN_MS);
  await bus.provision('create', { signal });
  clean = () => broker.clean(bus.topology());
  await bus.consume(billing, billingHandlers(shop), { retry: RETRY, signal });
  await bus.consume(mailer, mailerHandlers(shop), { retry: RETRY, unknownForMs: UNKNOWN_FOR_MS, signal });

  heading(`Orders on ${broker.title}`);
  const producers = openProducers(broker, shutdown);
  const refusals = await withProgress(tally.line, async () => {
    const refused = await publishAll(lines, producers, tally);
    await tally.settled();
    return refused;
  });
  describeRefusals(refusals);
  await redriveAfterFix(bus, { shop, tally });
  return printResult(tally, { refused: refusals.length, letters: await allLetters(bus, tally) });
}

/** Publishes side by side; orders of a key keep their order. Returns the lines that were refused. */
async function publishAll(lines: readonly Line[], producers: Producers, tally: Tally): Promise<readonly Refusal[]> {
  const refusals: Refusal[] = [];
  const publishing = lines.map(async (line) => {
    try {
      if ('problem' in line) throw new Error(line.problem);
      await producers.publish(line.version, line.order);
      tally.published(line.order.orderId);
    } catch (error) {
      refusals.push({ line: line.number, why: (error as Error).message });
    }
  });
  await Promise.all(publishing);
  return refusals.toSorted((one, other) => one.line - other.line);
}

/** What failed in its handler goes back to its queue once the handler is mended; an unknown version stays a letter. */
async function redriveAfterFix(
  bus: Bus,
  { shop, tally }: { readonly shop: Shop; readonly tally: Tally },
): Promise<void> {
  const letters = await allLetters(bus, tally);
  describeLetters(letters);
  const failed = letters.filter((letter) => letter.reason === 'handler-failed');
  if (failed.length === 0) return;
  heading('Mail templates completed: what failed in its handler is redriven');
  shop.fixed = true;
  tally.reopen(failed);
  await withProgress(tally.line, async () => {
    for (const queue of QUEUES.filter(({ name }) => failed.some((letter) => letter.queue === name))) {
      await bus.redrive(queue, { where: (letter) => letter.reason === 'handler-failed' });
    }
    await tally.settled();
  });
}

async function allLetters(bus: Bus, tally: Tally): ReturnType<typeof lettersOf> {
  return (await Promise.all(QUEUES.map((queue) => lettersOf(bus, queue, tally.deadOf(queue.name))))).flat();
}

const shutdown = new Shutdown();
onInterrupt(shutdown);
try {
  const options = readOptions(process.argv.slice(2));
  if (options !== undefined && !(await demo(options, shutdown))) process.exitCode = 1;
} catch (error) {
  // What fails because everything is being closed says nothing new.
  if (!shutdown.begun) process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
} finally {
  await shutdown.run();
}
