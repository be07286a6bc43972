// A process that consumes one queue, for tests that kill, stop or end processes. Takes its orders as JSON in its first
// argument and over `process.send`, and tells every step of every handler.
import { createBus, defineEvent, defineQueue, Reject } from '@waybill/core';
import { rabbitmq } from '@waybill/rabbitmq';
import { z } from 'zod';

const { url, prefix, consume = {}, heartbeatSeconds = 10, lenient = false } = JSON.parse(process.argv[2]);

const Noted = defineEvent('note.taken', z.object({ n: z.number(), text: z.string().optional() }), { topic: 'notes' });
const notes = defineQueue('notes', { handles: [Noted] });
const tell = (message) => process.send?.({ at: Date.now(), ...message });

let open;
const opened = new Promise((resolve) => {
  open = resolve;
});

/** What a message's text tells its handler to do; without one it succeeds soon. */
const work = {
  /** Waits until the parent says so or its signal aborts, then succeeds. */
  async hold(context) {
    await Promise.race([opened, aborted(context)]);
  },
  async 'hold-fail'(context) {
    await work.hold(context);
    if (!lenient) throw new Error('held, then failed');
  },
  async 'hold-reject'(context) {
    await work.hold(context);
    if (!lenient) throw new Reject('held, then rejected');
  },
  /** Waits for the parent, whatever its signal says. */
  async 'hold-deaf'() {
    await opened;
  },
  async 'fail-then-hold'(context) {
    if (context.attempt === 1) throw new Error('the first attempt fails');
    await work.hold(context);
  },
  async kill() {
    process.kill(process.pid, 'SIGKILL');
    await new Promise(() => {});
  },
  async slow() {
    await new Promise((resolve) => setTimeout(resolve, 20));
  },
};

function aborted({ signal }) {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', resolve, { once: true });
  });
}

const bus = createBus({
  source: '/worker',
  driver: rabbitmq({ url, heartbeatSeconds }),
  uses: [notes],
  prefix,
  observe: (event) => {
    if (['handled', 'sent', 'dead-lettered', 'retry-scheduled'].includes(event.name)) return;
    tell({ event: event.name, status: event.status, count: event.count, outcome: event.outcome });
  },
});

process.on('message', (message) => {
  if (message === 'open') open();
});
process.on('SIGTERM', () => {
  void bus.close({ deadlineMs: 10_000 }).then(() => process.exit(0));
});

const consumer = await bus.consume(
  notes,
  {
    'note.taken': async ({ n, text }, context) => {
      const { metadata, attempt, redelivered, signal } = context;
      const step = (name) => tell({ step: name, n, id: metadata.id, attempt, redelivered });
      signal.addEventListener('abort', () => step('aborted'));
      step('started');
      try {
        await work[text]?.(context);
        step('succeeded');
      } catch (error) {
        step('failed');
        throw error;
      }
    },
  },
  consume,
);
tell({ ready: true });
setInterval(() => tell({ held: consumer.health().held, running: consumer.health().running }), 100).unref();
