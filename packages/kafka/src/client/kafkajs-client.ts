import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import kafkajs, { type Kafka, type ISocketFactory, type KafkaConfig } from 'kafkajs';
import type { Settings } from '../kafka-options.ts';
import { KafkajsAdmin } from './kafkajs-admin.ts';
import { KafkajsGroup } from './kafkajs-group.ts';
import { KafkajsProducer } from './kafkajs-producer.ts';
import type { ClientGroup, ClientLine, ClientProducer, GroupOptions, KafkaClient } from './port.ts';

const CLOSE_MS = 2_000;
const LEVELS = { 1: 'error', 2: 'warn', 4: 'info', 5: 'debug' } as const;

/** kafkajs 2.2.4 behind the port. */
export class KafkajsClient implements KafkaClient {
  readonly kafka: Kafka;
  readonly admin: KafkajsAdmin;
  readonly #settings: Settings;
  readonly #listeners: ((line: ClientLine) => void)[] = [];

  constructor(settings: Settings) {
    quietQueues();
    this.#settings = settings;
    this.kafka = new kafkajs.Kafka(configOf(settings, (line) => this.#say(line)));
    this.admin = new KafkajsAdmin(this.kafka);
  }

  producer(): ClientProducer {
    return new KafkajsProducer(this.kafka, this.#settings.requestTimeoutMs);
  }

  group(options: GroupOptions): ClientGroup {
    return new KafkajsGroup(this.kafka, options);
  }

  watch(listener: (line: ClientLine) => void): void {
    this.#listeners.push(listener);
  }

  note(message: string): void {
    this.#say({ level: 'warn', message, fields: {} });
  }

  close(): Promise<void> {
    return this.admin.close(Date.now() + CLOSE_MS);
  }

  #say(line: ClientLine): void {
    for (const listener of this.#listeners) listener(line);
  }
}

function configOf(settings: Settings, say: (line: ClientLine) => void): KafkaConfig {
  const { brokers, ssl, sasl, clientId, connectTimeoutMs, requestTimeoutMs, socketFactory } = settings;
  return {
    brokers: [...brokers],
    clientId,
    ...(ssl === false ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
    connectionTimeout: connectTimeoutMs,
    authenticationTimeout: connectTimeoutMs,
    requestTimeout: requestTimeoutMs,
    // To find a node that lives; how long to go on trying is the core's question.
    retry: { retries: Math.max(2, brokers.length), initialRetryTime: 50, maxRetryTime: 500 },
    socketFactory: forgotten(socketFactory ?? withoutDelay),
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => (entry) => {
      const { message, timestamp: _, ...fields } = entry.log;
      say({
        level: LEVELS[entry.level as keyof typeof LEVELS] ?? 'info',
        message: `${entry.namespace}: ${message}`,
        fields,
      });
    },
  };
}

/** kafkajs' own sockets wait for more to send (Nagle), which costs up to 40 ms a request. */
const withoutDelay: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  // What the client was given, or null or true, whatever its type says.
  const tls = ssl as object | boolean | null;
  const isPlain = tls === null || tls === false || tls === undefined;
  const socket = isPlain
    ? connect({ host, port }, onConnect)
    : connectTls(
        { host, port, ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }), ...(tls === true ? {} : tls) },
        onConnect,
      );
  return socket.setNoDelay(true).setKeepAlive(true, 60_000);
};

/** kafkajs lets go of a dead socket again at every attempt, and each time Node adds a listener that never hears anything. */
function forgotten(make: ISocketFactory): ISocketFactory {
  return (options) => {
    const socket = make(options);
    return socket.once('close', () => {
      socket.unref = () => socket;
    });
  };
}

interface Queue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
}

let isQuiet = false;

/**
 * Every connection of kafkajs 2.2.4 wakes up each millisecond for ever to look at an empty queue, and Node 24 warns of the
 * negative time that it does so with (tulios/kafkajs#1704, #1751). Nothing waits there unless the broker throttles.
 */
function quietQueues(): void {
  if (isQuiet) return;
  isQuiet = true;
  const { prototype } = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
    readonly prototype: { scheduleCheckPendingRequests: (this: Queue) => void };
  };
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function scheduleWhatWaits(this: Queue): void {
    if (this.pending.length > 0) schedule.call(this);
  };
}
