import { type Message, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { type Lane, systemClock, WaybillError } from '@waybill/core/driver';
import { SqsDelivery } from './from-sqs-message.ts';
import type { SqsClients } from './sqs-client.ts';
import type { SqsLookup } from './sqs-lookup.ts';
import type { Settings } from './sqs-options.ts';

export interface ReceiverOptions {
  readonly clients: SqsClients;
  readonly lookup: SqsLookup;
  readonly entity: string;
  readonly lane: Lane;
  readonly leaseMs: number;
  readonly waitSeconds: number;
}

/** Of a lease, at most this part is spent on waiting: it is counted from before the call. */
const WAITING_PART = 4;
/** Whoever lists or redrives dead letters waits for the end of the lane. */
const DEAD_LANE_SECONDS = 1;

/** How long polls of a lane wait, and for how long they take. */
export function waitingOf(
  { leaseMs, pollSeconds }: Pick<Settings, 'leaseMs' | 'pollSeconds'>,
  lane: Lane,
): Pick<ReceiverOptions, 'leaseMs' | 'waitSeconds'> {
  const wait = lane === 'dead' ? DEAD_LANE_SECONDS : pollSeconds;
  return { leaseMs, waitSeconds: Math.max(Math.min(wait, Math.floor(leaseMs / 1_000 / WAITING_PART)), 1) };
}

/** Receives from one queue. */
export class SqsReceiver {
  readonly #options: ReceiverOptions;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  /** Rejects with NOT_FOUND when there is no such queue. */
  async find(): Promise<string> {
    return this.#options.lookup.queueUrl(this.#options.entity);
  }

  /**
   * One long poll: at most `max` (1 to 10) as soon as there is one, none when its time is over. With a signal the SDK
   * resolves its middleware anew.
   */
  async receive(max: number, signal?: AbortSignal): Promise<readonly SqsDelivery[]> {
    const { clients, lookup, entity, lane, leaseMs, waitSeconds } = this.#options;
    const url = await this.find();
    // Before the call: the lease begins at an unknown time while it is open.
    const leaseUntil = systemClock.now() + leaseMs;
    const command = new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: max,
      WaitTimeSeconds: waitSeconds,
      VisibilityTimeout: Math.ceil(leaseMs / 1_000),
      MessageSystemAttributeNames: ['All'],
      MessageAttributeNames: ['All'],
    });
    try {
      const { Messages = [] } = await clients.call(`receive from queue "${entity}"`, () =>
        signal === undefined ? clients.polls.send(command) : clients.polls.send(command, { abortSignal: signal }),
      );
      return Messages.map((message: Message) => new SqsDelivery(message, { url, lane, leaseUntil }));
    } catch (error) {
      // It may be made again under another url.
      if (WaybillError.is(error) && error.code === 'NOT_FOUND') lookup.forget(entity);
      throw error;
    }
  }
}
