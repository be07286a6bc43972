import { ListTopicsCommand, type SNSClient, type Topic } from '@aws-sdk/client-sns';
import { GetQueueAttributesCommand, GetQueueUrlCommand } from '@aws-sdk/client-sqs';
import { type Topology, untilAborted, WaybillError } from '@waybill/core/driver';
import type { SqsClients } from './sqs-client.ts';
import { spoken, topicEntity, workEntity } from './sqs-names.ts';
import type { Settings } from './sqs-options.ts';

/** Urls and ARNs of what exists, each asked for once, however many want it. What was not found is asked for again. */
export class SqsLookup {
  readonly #clients: SqsClients;
  readonly #urls = new Map<string, Promise<string>>();
  readonly #arns = new Map<string, Promise<string>>();
  readonly #topics = new Map<string, Promise<string>>();
  readonly #kinds = new Map<string, Promise<boolean>>();
  readonly #keyed = new Map<string, Promise<boolean>>();
  #account: string | undefined;

  constructor(clients: SqsClients, settings: Pick<Settings, 'accountId'>) {
    this.#clients = clients;
    this.#account = settings.accountId;
  }

  /** Rejects with NOT_FOUND when there is no such queue. */
  queueUrl(entity: string, signal?: AbortSignal): Promise<string> {
    const url = once(this.#urls, entity, () => this.#askUrl(entity));
    return signal === undefined ? url : untilAborted(url, signal, `look up queue "${entity}"`);
  }

  /** Rejects with NOT_FOUND when there is no such queue. */
  queueArn(entity: string): Promise<string> {
    return once(this.#arns, entity, () => this.#askArn(entity));
  }

  /** Where the account is known, an ARN says nothing about whether the topic exists; else rejects with NOT_FOUND. */
  topicArn(entity: string, signal?: AbortSignal): Promise<string> {
    const arn = once(this.#topics, entity, () => this.#findTopic(entity));
    return signal === undefined ? arn : untilAborted(arn, signal, `look up topic "${entity}"`);
  }

  /** Whether queue `name` is FIFO; rejects with NOT_FOUND when it is neither. */
  async entityOf(name: string): Promise<{ readonly ordered: boolean }> {
    return { ordered: await once(this.#kinds, name, () => this.#askKind(name)) };
  }

  /** Whether topic `name` is FIFO; rejects with NOT_FOUND when it is neither. */
  isKeyed(name: string): Promise<boolean> {
    return once(this.#keyed, name, () => this.#askKeyed(name));
  }

  /** What this process applies or verifies it needs not ask for. */
  learnTopology({ topics, queues }: Topology): void {
    for (const { name, keyed } of topics) this.#keyed.set(name, Promise.resolve(keyed));
    for (const { name, ordered } of queues) this.learnQueueKind(name, ordered);
  }

  learnQueue(entity: string, url: string): void {
    this.#urls.set(entity, Promise.resolve(url));
    this.#account ??= accountOf(url);
  }

  learnTopic(entity: string, arn: string): void {
    this.#topics.set(entity, Promise.resolve(arn));
  }

  learnQueueKind(name: string, ordered: boolean): void {
    this.#kinds.set(name, Promise.resolve(ordered));
  }

  /** A queue or topic that turned out to be gone is asked for again. */
  forget(entity: string): void {
    this.#urls.delete(entity);
    this.#arns.delete(entity);
    this.#topics.delete(entity);
  }

  async #askUrl(entity: string): Promise<string> {
    const { sqs } = this.#clients;
    const { QueueUrl } = await this.#clients
      .call(`look up queue "${entity}"`, () => sqs.send(new GetQueueUrlCommand({ QueueName: entity })))
      .catch((error: unknown) => {
        throw isMissing(error) ? missing('Queue', entity, error) : error;
      });
    if (QueueUrl === undefined) throw missing('Queue', entity, undefined);
    this.#account ??= accountOf(QueueUrl);
    return QueueUrl;
  }

  async #askArn(entity: string): Promise<string> {
    const QueueUrl = await this.queueUrl(entity);
    const { Attributes } = await this.#clients.call(`look up queue "${entity}"`, () =>
      this.#clients.sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] })),
    );
    const arn = Attributes?.['QueueArn'];
    if (arn === undefined) throw missing('Queue', entity, undefined);
    return arn;
  }

  async #askKind(name: string): Promise<boolean> {
    try {
      await this.queueUrl(workEntity({ name, ordered: false }));
      return false;
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    try {
      await this.queueUrl(workEntity({ name, ordered: true }));
      return true;
    } catch (error) {
      throw isMissing(error) ? missing('Queue', workEntity({ name, ordered: false }), error) : error;
    }
  }

  async #askKeyed(name: string): Promise<boolean> {
    const [bare, keyed] = [topicEntity(name, false), topicEntity(name, true)];
    const found = await this.#search([bare, keyed]);
    if (found === undefined) throw missing('Topic', bare, undefined);
    this.learnTopic(found.endsWith('.fifo') ? keyed : bare, found);
    return found.endsWith('.fifo');
  }

  async #findTopic(entity: string): Promise<string> {
    this.#snsOf();
    if (this.#account !== undefined) return this.#arnOf(entity, this.#account);
    const found = await this.#search([entity]);
    if (found === undefined) throw missing('Topic', entity, undefined);
    return found;
  }

  async #arnOf(entity: string, account: string): Promise<string> {
    const region = await this.#clients.call(`name topic "${entity}"`, () => this.#clients.sqs.config.region());
    return `arn:${partitionOf(region)}:sns:${region}:${account}:${entity}`;
  }

  #snsOf(): SNSClient {
    const { sns } = this.#clients;
    if (sns !== undefined) return sns;
    throw new WaybillError('UNSUPPORTED', 'Topics need sqs() without the option topics: false.');
  }

  /** The first of `entities` that is among the account's topics. */
  async #search(entities: readonly string[]): Promise<string | undefined> {
    const sns = this.#snsOf();
    let NextToken: string | undefined;
    do {
      const command = new ListTopicsCommand(NextToken === undefined ? {} : { NextToken });
      const page = await this.#clients.call(`look up topic "${entities[0]}"`, () => sns.send(command));
      const found = firstOf(page.Topics, entities);
      if (found !== undefined) return found;
      NextToken = page.NextToken;
    } while (NextToken !== undefined);
    return undefined;
  }
}

function firstOf(topics: readonly Topic[] | undefined, entities: readonly string[]): string | undefined {
  const arns = topics?.map(({ TopicArn = '' }) => TopicArn);
  return arns?.find((arn) => entities.includes(arn.slice(arn.lastIndexOf(':') + 1)));
}

/** What fails is not remembered. */
function once<T>(known: Map<string, Promise<T>>, name: string, ask: () => Promise<T>): Promise<T> {
  let asked = known.get(name);
  if (asked === undefined) {
    asked = ask();
    known.set(name, asked);
    const asking = asked;
    asked.catch(() => {
      if (known.get(name) === asking) known.delete(name);
    });
  }
  return asked;
}

/** One sentence that names it. */
export function missing(kind: 'Queue' | 'Topic', entity: string, cause: unknown): WaybillError {
  return new WaybillError('NOT_FOUND', `${kind} ${spoken(entity)} does not exist. Apply the topology.`, { cause });
}

function isMissing(error: unknown): boolean {
  return WaybillError.is(error) && error.code === 'NOT_FOUND';
}

/** The part before the name: `…/123456789012/billing`. */
function accountOf(url: string): string | undefined {
  return /\/(\d{12})\/[^/]+$/.exec(url)?.[1];
}

function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}
