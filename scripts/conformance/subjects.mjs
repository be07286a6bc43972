// What the conformance suite runs on.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { root } from '../bootstrap.mjs';

const RABBITMQ = [
  'packages/rabbitmq/',
  'integration/src/conformance/rabbitmq',
  'integration/src/rabbitmq',
  'integration/images/rabbitmq.sh',
];

const KAFKA = [
  'packages/kafka/',
  'integration/src/conformance/kafka',
  'integration/src/kafka',
  'integration/images/kafka.sh',
];

const SQS = [
  'packages/sqs/',
  'integration/src/conformance/sqs',
  'integration/src/sqs-server.ts',
  'integration/src/localemu',
  'integration/src/elasticmq.ts',
  'integration/images/localemu.sh',
  'integration/images/elasticmq.sh',
];

/**
 * `harness`: the module to test, as built. `driver`: its row in docs/capabilities.json; `sources`: a change of these
 * concerns it; `real`: it needs a broker beside this process, which `setting` gives by URL. `capabilities` needs none.
 * `isVariant`: for the quick set only, and not on record; `onlyFull`: the reverse. `isLong`: begins before the others.
 */
export const SUBJECTS = [
  {
    name: 'memory',
    driver: 'memory',
    harness: 'integration/dist/conformance/memory.js',
    sources: ['packages/memory/', 'integration/src/conformance/memory.ts'],
    real: false,
    capabilities: async () => (await built('packages/memory/dist/index.js')).memory().capabilities,
  },
  ...['annotated', 'sparse'].map((variant) => ({
    // What brokers differ in, where it costs nothing.
    name: `memory-${variant}`,
    driver: 'memory',
    harness: `integration/dist/conformance/memory-${variant}.js`,
    sources: [],
    real: false,
    isVariant: true,
  })),
  {
    name: 'rabbitmq',
    driver: 'rabbitmq',
    harness: 'integration/dist/conformance/rabbitmq.js',
    sources: RABBITMQ,
    real: true,
    setting: 'WAYBILL_RABBITMQ_URL',
    capabilities: async () =>
      (await built('packages/rabbitmq/dist/index.js')).rabbitmq({ url: 'amqp://localhost' }).capabilities,
  },
  {
    name: 'rabbitmq-old',
    driver: 'rabbitmq',
    harness: 'integration/dist/conformance/rabbitmq-old.js',
    sources: RABBITMQ,
    real: true,
    setting: 'WAYBILL_RABBITMQ_OLD_URL',
  },
  {
    // As on Kafka: what can be survived without one node is. The quick set has no fault of nodes, and runs on one.
    name: 'rabbitmq-three',
    driver: 'rabbitmq',
    harness: 'integration/dist/conformance/rabbitmq-three.js',
    sources: RABBITMQ,
    real: true,
    onlyFull: true,
    setting: 'WAYBILL_RABBITMQ_URL',
  },
  {
    name: 'kafka',
    driver: 'kafka',
    harness: 'integration/dist/conformance/kafka.js',
    sources: KAFKA,
    real: true,
    setting: 'WAYBILL_KAFKA_BROKERS',
    capabilities: async () =>
      (await built('packages/kafka/dist/index.js')).kafka({ brokers: ['localhost:9092'] }).capabilities,
  },
  {
    // What can be survived without one node is. The quick set has no fault of nodes, and runs on one.
    name: 'kafka-three',
    driver: 'kafka',
    harness: 'integration/dist/conformance/kafka-three.js',
    sources: KAFKA,
    real: true,
    onlyFull: true,
    setting: 'WAYBILL_KAFKA_BROKERS',
  },
  {
    name: 'sqs',
    driver: 'sqs',
    harness: 'integration/dist/conformance/sqs.js',
    sources: SQS,
    real: true,
    isLong: true,
    setting: 'WAYBILL_SQS_REGION',
    capabilities: async () => (await built('packages/sqs/dist/index.js')).sqs().capabilities,
  },
  {
    // Another server that speaks SQS, so that no quirk of one is taken for the protocol. It has no topics.
    name: 'sqs-elasticmq',
    driver: 'sqs',
    harness: 'integration/dist/conformance/sqs-elasticmq.js',
    sources: SQS,
    real: true,
  },
  {
    // On a namespace or an emulator that is given, else on a stand-in that speaks what the client speaks.
    name: 'service-bus',
    driver: 'service-bus',
    harness: 'integration/dist/conformance/service-bus.js',
    sources: ['packages/service-bus/', 'integration/src/conformance/service-bus', 'integration/src/service-bus'],
    real: true,
    setting: 'WAYBILL_SERVICE_BUS_CONNECTION_STRING',
    capabilities: async () =>
      (await built('packages/service-bus/dist/index.js')).serviceBus({
        connectionString: 'Endpoint=sb://localhost;SharedAccessKeyName=none;SharedAccessKey=none',
      }).capabilities,
  },
  {
    // The example of docs/writing-a-driver.md. It has to pass the quick set; the full one takes its turn with the others.
    name: 'redis-streams',
    driver: 'redis-streams',
    harness: 'docs/dist/driver-redis-streams/harness.js',
    sources: ['docs/examples/driver-redis-streams/', 'integration/src/redis.ts', 'integration/images/redis.sh'],
    real: true,
    setting: 'WAYBILL_REDIS_URL',
    capabilities: async () =>
      (await built('docs/dist/driver-redis-streams/redis-driver.js')).redisStreams({ url: 'redis://localhost' })
        .capabilities,
  },
];

/** The subjects of these names; all without names. Throws for one that does not exist. */
export function subjectsNamed(names) {
  const unknown = names.filter((name) => !SUBJECTS.some((subject) => subject.name === name));
  if (unknown.length > 0) {
    throw new Error(
      `There is no broker ${unknown.join(', ')}. Brokers: ${SUBJECTS.map(({ name }) => name).join(', ')}.`,
    );
  }
  return names.length === 0 ? SUBJECTS : SUBJECTS.filter(({ name }) => names.includes(name));
}

/** Each gives a broker that runs; then no container is started. */
const GIVING = [
  'WAYBILL_RABBITMQ_URL',
  'WAYBILL_KAFKA_BROKERS',
  'WAYBILL_SQS_REGION',
  'WAYBILL_SERVICE_BUS_CONNECTION_STRING',
];

/** Where the quick set runs when nobody names anything: on all that this environment lets it. */
export function quickSubjects(subjects, environment) {
  const isSet = (setting) => Boolean(environment[setting]);
  const isGiven = GIVING.some(isSet);
  return subjects.filter(
    ({ setting, onlyFull, real }) =>
      onlyFull !== true && (!isGiven || (setting === undefined ? real !== true : isSet(setting))),
  );
}

/** What each driver declares, by its name. */
export async function declaredCapabilities() {
  const own = SUBJECTS.filter(({ capabilities }) => capabilities !== undefined);
  return Object.fromEntries(
    await Promise.all(own.map(async ({ driver, capabilities }) => [driver, writable(await capabilities())])),
  );
}

/** As JSON can hold it. */
function writable(capabilities) {
  return Object.fromEntries(
    Object.entries(capabilities).map(([name, value]) => [name, value === Infinity ? 'unlimited' : value]),
  );
}

function built(file) {
  return import(pathToFileURL(join(root, file)).href);
}
