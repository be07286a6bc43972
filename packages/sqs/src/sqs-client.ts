import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { SNSClient, type SNSClientConfig } from '@aws-sdk/client-sns';
import { SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { toWaybillError } from './sqs-error.ts';
import type { Settings } from './sqs-options.ts';

const ignored = (): void => undefined;
/** Without one, the SDK prints its warnings. For one with `info` it would copy each request and each answer. */
const SILENT = { trace: ignored, debug: ignored, warn: ignored, error: ignored } as unknown as NonNullable<
  SQSClientConfig['logger']
>;

/** The AWS SDK's clients, none of which tries anything twice. */
export class SqsClients {
  /** All of SQS but receives. */
  readonly sqs: SQSClient;
  /** Receives: they have connections of their own, or waiting ones would hold up sends and deletes. */
  readonly polls: SQSClient;
  /** Undefined with the option `topics: false`. */
  readonly sns: SNSClient | undefined;

  constructor(settings: Settings) {
    const { endpoint, snsEndpoint, maxConnections, requestTimeoutMs, pollSeconds, topics } = settings;
    const common = commonConfig(settings);
    const handler = handlerOf(settings, maxConnections, requestTimeoutMs);
    const sqs: SQSClientConfig = {
      ...common,
      // TLS protects bodies, and one bad checksum would fail a whole receive.
      md5: false,
      ...(endpoint === undefined ? {} : { endpoint, useQueueUrlAsEndpoint: false }),
    };
    this.sqs = new SQSClient({ ...sqs, requestHandler: handler });
    const polls = handlerOf(settings, Number.POSITIVE_INFINITY, requestTimeoutMs + pollSeconds * 1_000);
    this.polls = new SQSClient({ ...sqs, requestHandler: polls });
    if (topics) {
      this.sns = new SNSClient({
        ...common,
        ...(snsEndpoint === undefined ? {} : { endpoint: snsEndpoint }),
        requestHandler: handlerOf(settings, maxConnections, requestTimeoutMs),
      });
    }
  }

  /** What `run` gives, or its error by the table: `attempted` completes "Could not …". */
  async call<T>(attempted: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw toWaybillError(error, attempted);
    }
  }

  /** Closes all connections; what is open fails. */
  destroy(): void {
    this.sqs.destroy();
    this.polls.destroy();
    this.sns?.destroy();
  }
}

function commonConfig({ region, credentials }: Settings): SQSClientConfig & SNSClientConfig {
  return {
    maxAttempts: 1,
    // Else each request sorts the same middleware again. It holds for requests without a signal of their own.
    cacheMiddleware: true,
    logger: SILENT,
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

function handlerOf(settings: Settings, maxSockets: number, requestTimeout: number): NodeHttpHandler {
  const agent = { keepAlive: true, maxSockets };
  return new NodeHttpHandler({
    httpAgent: new HttpAgent(agent),
    httpsAgent: new HttpsAgent(agent),
    connectionTimeout: settings.connectTimeoutMs,
    requestTimeout,
    throwOnRequestTimeout: true,
    logger: SILENT,
  });
}
