import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Bus,
  type Consumer,
  type ConsumeOptions,
  createBus,
  type Driver,
  type HandlerContext,
  type QueueContract,
  type OutgoingMessage,
  Reject,
  type Used,
} from '@waybill/core';
import type { Settlement, Subscription } from '@waybill/core/driver';
import { Follow, outbox, QUEUES, type QueueName } from './contracts.ts';
import { wrapDriver, wrapSubscription } from './wrap-driver.ts';

/** What a consumer does with a message. The first rule that fits counts; without one it is handled at once. */
export interface Rule {
  /** Numbers (`n` or `sequence`) that it is for. Absent: all. */
  readonly only?: readonly number[];
  /** Keys that it is for. Absent: all. */
  readonly keys?: readonly string[];
  /** Attempts that it is for. Absent: all. */
  readonly attempts?: readonly number[];
  /** For those that were handed out before, or for those that were not. Absent: all. */
  readonly redelivered?: boolean;
  readonly then: 'handle' | 'fail' | 'reject' | 'hang' | 'kill' | 'follow';
  /** Before that. */
  readonly afterMs?: number;
  /** Text of the error. */
  readonly error?: string;
}

/** Where a process dies in the middle of moving a message: around the hand-over of its copies to the broker. */
export interface DeathAtCopy {
  /** `work`: retries and redrives; `dead`: dead letters. */
  readonly lane: 'work' | 'dead';
  /** How many it hands over before. */
  readonly count: number;
  /** `before`: the last ones are never sent. `after`: they are stored, and their sources not settled. */
  readonly when: 'before' | 'after';
}

/** A consumer as data, so that it can run in this process or in another. */
export interface Program {
  readonly queue: QueueName;
  readonly prefix: string;
  readonly rules?: readonly Rule[];
  readonly options?: Omit<ConsumeOptions, 'signal'>;
  readonly sendTimeoutMs?: number;
  /** Ignores its aborted signal. */
  readonly deaf?: boolean;
  readonly diesAtCopy?: DeathAtCopy;
  /** Redrives the queue's dead letters, again and again, instead of consuming. */
  readonly redrives?: true;
}

/** What a consumer tells of each attempt. */
export interface Report {
  readonly at: number;
  readonly what: 'started' | 'handled' | 'failed' | 'aborted';
  readonly queue: QueueName;
  readonly type: string;
  readonly id: string;
  readonly n: number;
  readonly key: string;
  readonly attempt: number;
  readonly redelivered: boolean;
  readonly deliveries: number;
}

/** Waited for before the attempt ends: what is settled was told before, so that a process that is killed then hides nothing. */
export type Tell = (report: Report) => Promise<void> | undefined;

export interface Running {
  readonly bus: Bus;
  /** Absent where the program does not consume. */
  readonly consumer?: Consumer;
}

/** Runs a program on a driver. `die` is how its process ends at once. */
export async function runProgram(driver: Driver, program: Program, tell: Tell, die: () => void): Promise<Running> {
  const queue: QueueContract = QUEUES[program.queue];
  const uses: readonly Used[] = [queue, outbox];
  const bus = createBus({
    source: '/conformance/worker',
    driver: program.diesAtCopy === undefined ? driver : dyingAtCopy(driver, program.diesAtCopy, die),
    uses,
    prefix: program.prefix,
    ...(program.sendTimeoutMs === undefined ? {} : { sendTimeoutMs: program.sendTimeoutMs }),
  });
  if (program.redrives === true) {
    void redriveOn(bus, queue);
    return { bus };
  }
  const handlers = Object.fromEntries(
    queue.handles.map(({ type }) => [
      type,
      (data: unknown, context: HandlerContext) => attempt(program, data, context, { type, tell, die }),
    ]),
  );
  const consumer = await bus.consume(queue, handlers, program.options);
  return { bus, consumer };
}

/** Letters that a dead process held come back only after its lease. */
async function redriveOn(bus: Bus, queue: QueueContract): Promise<void> {
  try {
    for (;;) {
      await bus.redrive(queue);
      await sleep(100);
    }
  } catch {
    // The process is dead, or its bus is closed.
  }
}

/** `driver`, whose process dies around the hand-over of a copy, or of a letter that the broker itself moves. */
function dyingAtCopy(driver: Driver, { lane, count, when }: DeathAtCopy, die: () => void): Driver {
  const isCopy = ({ id, target }: OutgoingMessage): boolean =>
    id.includes('#') && 'queue' in target && target.lane === lane;
  const isMoved = ({ action }: Settlement): boolean => action === 'reject' && lane === 'dead';
  let seen = 0;
  const around = async (copies: number, handOver: () => Promise<void>): Promise<void> => {
    seen += copies;
    const dies = copies > 0 && seen >= count;
    if (!dies || when === 'after') await handOver();
    if (!dies) return;
    die();
    await new Promise(() => undefined);
  };
  return wrapDriver(driver, {
    send: (batch, signal) => around(batch.filter(isCopy).length, () => driver.send(batch, signal)),
    async subscribe(queue, from, options) {
      const subscription = await driver.subscribe(queue, from, options);
      const settle: Subscription['settle'] = (batch) =>
        around(batch.filter(isMoved).length, () => subscription.settle(batch));
      return wrapSubscription(subscription, { settle });
    },
  });
}

interface Ends {
  readonly type: string;
  readonly tell: Tell;
  readonly die: () => void;
}

/** How many messages a program's consumer holds, by its own account. */
export function heldBy(running: Running | undefined): number {
  return running?.consumer?.health().held ?? 0;
}

async function attempt(
  program: Program,
  data: unknown,
  context: HandlerContext,
  { type, tell, die }: Ends,
): Promise<void> {
  const { n, sequence, entity } = data as { readonly n?: number; readonly sequence?: number; readonly entity?: string };
  const number = n ?? sequence ?? 0;
  const key = context.metadata.key ?? entity ?? '';
  const report = (what: Report['what']): ReturnType<Tell> =>
    tell({
      at: Date.now(),
      what,
      queue: program.queue,
      type,
      id: context.metadata.id,
      n: number,
      key,
      attempt: context.attempt,
      redelivered: context.redelivered,
      deliveries: context.delivery.deliveries,
    });
  const rule = program.rules?.find((each) => fits(each, number, key, context));
  await report('started');
  try {
    await act(rule, context, { n: number, deaf: program.deaf === true, die });
    await report('handled');
  } catch (error) {
    await report(context.signal.aborted ? 'aborted' : 'failed');
    throw error;
  }
}

async function act(
  rule: Rule | undefined,
  context: HandlerContext,
  { n, deaf, die }: { n: number; deaf: boolean; die: () => void },
): Promise<void> {
  if (rule === undefined) return;
  const signal = deaf ? undefined : context.signal;
  if (rule.afterMs !== undefined) await sleep(rule.afterMs, undefined, signal === undefined ? {} : { signal });
  switch (rule.then) {
    case 'handle':
      return;
    case 'fail':
      throw new Error(rule.error ?? `told to fail at attempt ${context.attempt}`);
    case 'reject':
      throw new Reject(rule.error ?? 'told to reject');
    case 'hang':
      return sleep(2 ** 30, undefined, signal === undefined ? {} : { signal });
    case 'follow':
      return context.send(outbox, Follow, { n });
    case 'kill':
      die();
      // Nothing of a dead process goes on.
      return new Promise(() => undefined);
  }
}

function fits(rule: Rule, n: number, key: string, { attempt: at, redelivered }: HandlerContext): boolean {
  const { only, keys, attempts } = rule;
  if (rule.redelivered !== undefined && rule.redelivered !== redelivered) return false;
  return (only?.includes(n) ?? true) && (keys?.includes(key) ?? true) && (attempts?.includes(at) ?? true);
}
