import { BatchError, type BatchFailure, type OutgoingMessage, untilAborted, WaybillError } from '@waybill/core/driver';
import { SenderLink, type Transfer } from './sender-link.ts';
import type { ClientLife, ServiceBusConnection } from './service-bus-connection.ts';
import { toWaybillError } from './service-bus-error.ts';
import { deadPath } from './service-bus-topology.ts';
import { refusalOf, toServiceBusMessage } from './to-service-bus-message.ts';

/** Batches as transfers, those to one entity in order on one link. */
export class ServiceBusPublisher {
  readonly #connection: ServiceBusConnection;
  readonly #maxMessageBytes: number;
  readonly #links = new Map<string, Way>();
  #life: ClientLife | undefined;

  constructor(connection: ServiceBusConnection, maxMessageBytes: number) {
    this.#connection = connection;
    this.#maxMessageBytes = maxMessageBytes;
  }

  async send(batch: readonly OutgoingMessage[], signal: AbortSignal): Promise<void> {
    const failures: BatchFailure[] = [];
    const sending: Promise<void>[] = [];
    for (const [entity, indexes] of this.#group(batch, failures)) {
      sending.push(this.#sendTo(entity, { batch, indexes, failures }, signal));
    }
    await Promise.all(sending);
    if (failures.length === 0) return;
    failures.sort((left, right) => left.index - right.index);
    throw new BatchError(failures, batch.length);
  }

  /** Attaches; rejects with NOT_FOUND when there is no such entity. */
  async look(entity: string): Promise<void> {
    try {
      await this.#linkTo(entity);
    } catch (cause) {
      throw toWaybillError(cause, `send to "${entity}" on Service Bus`);
    }
  }

  #group(batch: readonly OutgoingMessage[], failures: BatchFailure[]): ReadonlyMap<string, number[]> {
    const groups = new Map<string, number[]>();
    for (const [index, message] of batch.entries()) {
      const error = refusalOf(message, this.#maxMessageBytes) ?? refusalOfLane(message);
      if (error !== undefined) {
        failures.push({ index, error });
        continue;
      }
      const entity = 'topic' in message.target ? message.target.topic : message.target.queue;
      const group = groups.get(entity);
      if (group === undefined) groups.set(entity, [index]);
      else group.push(index);
    }
    return groups;
  }

  async #sendTo(entity: string, part: Part, signal: AbortSignal): Promise<void> {
    const { batch, indexes, failures } = part;
    let link: SenderLink;
    let transfers: readonly Transfer[];
    try {
      link = await untilAborted(this.#linkTo(entity), signal, `reach "${entity}" on Service Bus`);
      transfers = await link.pack(
        indexes.map((index) => [index, toServiceBusMessage(batch[index] as OutgoingMessage)] as const),
      );
    } catch (cause) {
      const error = notSent(toWaybillError(cause, `send to "${entity}" on Service Bus`));
      for (const index of indexes) failures.push({ index, error });
      return;
    }
    await this.#transfer(entity, { link, transfers, failures }, signal);
  }

  /** One after the other in order on the link, all at once in the air; what fails stops none of the others. */
  async #transfer(
    entity: string,
    { link, transfers, failures }: { link: SenderLink; transfers: readonly Transfer[]; failures: BatchFailure[] },
    signal: AbortSignal,
  ): Promise<void> {
    await Promise.all(
      transfers.map(async (transfer) => {
        try {
          await link.send(transfer, signal);
        } catch (cause) {
          const error = toWaybillError(cause, `store what was sent to "${entity}" on Service Bus`);
          for (const index of transfer.indexes) failures.push({ index, error });
        }
      }),
    );
  }

  /** One attach at a time: those that come meanwhile wait for it. */
  #linkTo(entity: string): Promise<SenderLink> {
    const life = this.#connection.life();
    if (life !== this.#life) {
      this.#life = life;
      this.#links.clear();
    }
    const known = this.#links.get(entity);
    if (known !== undefined && known.link?.ended !== true) return known.attaching;
    const way: Way = { attaching: SenderLink.attach(life, entity), link: undefined };
    this.#links.set(entity, way);
    way.attaching.then(
      (link) => {
        way.link = link;
      },
      () => {
        if (this.#links.get(entity) === way) this.#links.delete(entity);
      },
    );
    return way.attaching;
  }
}

interface Way {
  readonly attaching: Promise<SenderLink>;
  link: SenderLink | undefined;
}

interface Part {
  readonly batch: readonly OutgoingMessage[];
  readonly indexes: readonly number[];
  readonly failures: BatchFailure[];
}

/** Only the broker moves a message to its dead lane, which takes no sends. */
function refusalOfLane({ target, id }: OutgoingMessage): WaybillError | undefined {
  if ('topic' in target || target.lane === 'work') return undefined;
  const message = `Message ${id} cannot be sent to the dead lane "${deadPath(target.queue)}": Service Bus lets nobody send there.`;
  return new WaybillError('UNSUPPORTED', message);
}

/** Nothing was written: a deadline that passed means UNAVAILABLE here, not an unknown outcome. */
function notSent(error: WaybillError): WaybillError {
  return error.code === 'TIMEOUT' ? new WaybillError('UNAVAILABLE', error.message, { cause: error.cause }) : error;
}
