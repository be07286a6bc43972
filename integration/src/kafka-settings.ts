import type { Certificate } from './certificate.ts';

/** Both hold what a URL must encode, so that a test for leaked secrets sees two forms. */
export const kafkaUser = 'way@bill';
export const kafkaPassword = 'swordfish@pearl/1';
/** With PLAIN only, and with the rights that a test gives it. */
export const kafkaGuest = 'gu@est';
export const kafkaGuestPassword = 'barracuda@coral/2';

/** Ways to a node from outside: without conditions, with credentials, over TLS, with credentials over TLS. */
export type KafkaListener = 'CLIENT' | 'SASL' | 'TLS' | 'SASLTLS';

/** The port that each has inside. */
export const listenerPorts: Readonly<Record<KafkaListener, number>> = {
  CLIENT: 9092,
  SASL: 9095,
  TLS: 9096,
  SASLTLS: 9097,
};

/** How nodes and the tools inside their containers reach a node. */
export const innerPort = 9093;
const controllerPort = 9094;

const protocols: Readonly<Record<KafkaListener, string>> = {
  CLIENT: 'PLAINTEXT',
  SASL: 'SASL_PLAINTEXT',
  TLS: 'SSL',
  SASLTLS: 'SASL_SSL',
};

export interface NodeSettings {
  readonly id: number;
  /** How many nodes the cluster has; their ids start at 1. */
  readonly of: number;
  /** The port of 127.0.0.1 through which clients reach each listener. */
  readonly published: ReadonlyMap<KafkaListener, number>;
  /** Of a node with secured listeners. */
  readonly certificate: Certificate | undefined;
}

const settingsFile = '/opt/kafka/config/waybill.properties';
const dataFolder = '/var/lib/kafka/data';

/** The name of a node on the network of its cluster. */
export function nodeName(id: number): string {
  return `kafka-${id}`;
}

/** Files that make an official or an equivalent image a node. */
export function kafkaFiles(settings: NodeSettings): { target: string; content: string }[] {
  const properties = { ...clusterSettings(settings), ...listenerSettings(settings), ...securitySettings(settings) };
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${escaped(value)}\n`);
  return [{ target: settingsFile, content: lines.join('') }];
}

/** Starts a node; its data stay from one start to the next. */
export function kafkaCommand({ certificate }: NodeSettings): string[] {
  const scripts = '/opt/kafka/bin';
  const format = `test -e ${dataFolder}/meta.properties || ${scripts}/kafka-storage.sh format "$@" || exit 1`;
  const scram = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${kafkaUser},password=${kafkaPassword}]`,
  ]);
  const script = `${format}; exec ${scripts}/kafka-server-start.sh ${settingsFile}`;
  // The id of a cluster: 16 bytes in base64.
  const cluster = ['--cluster-id', 'd2F5YmlsbC1pbi10ZXN0cw', '--config', settingsFile];
  return ['sh', '-c', script, 'kafka', ...cluster, ...(certificate === undefined ? [] : scram)];
}

/** Little memory, a quick start, and addresses of other nodes that are looked up again. */
export const kafkaEnvironment: Readonly<Record<string, string>> = {
  KAFKA_HEAP_OPTS: '-Xms64m -Xmx256m',
  // Without a file of classes that fits, Java starts as if there was none.
  KAFKA_JVM_PERFORMANCE_OPTS: '-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:SharedArchiveFile=/opt/kafka/kafka.jsa',
  KAFKA_OPTS: '-Dsun.net.inetaddr.ttl=1',
};

function clusterSettings({ id, of }: NodeSettings): Record<string, string> {
  const ids = Array.from({ length: of }, (_, index) => index + 1);
  const copies = String(of);
  const copiesInSync = String(of === 1 ? 1 : 2);
  return {
    'process.roles': 'broker,controller',
    'node.id': String(id),
    'controller.quorum.voters': ids.map((node) => `${node}@${nodeName(node)}:${controllerPort}`).join(','),
    'log.dirs': dataFolder,
    'auto.create.topics.enable': 'false',
    'delete.topic.enable': 'true',
    'default.replication.factor': copies,
    'min.insync.replicas': copiesInSync,
    'offsets.topic.replication.factor': copies,
    'offsets.topic.num.partitions': copies,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': copiesInSync,
    'transaction.state.log.num.partitions': copies,
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': copiesInSync,
    'share.coordinator.state.topic.num.partitions': copies,
    'group.initial.rebalance.delay.ms': '0',
    // A node that was killed is replaced, and let in again, after this.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    'replica.lag.time.max.ms': '5000',
    // Leaders move when a test moves them.
    'auto.leader.rebalance.enable': 'false',
    'log.cleaner.dedupe.buffer.size': '4194304',
    'num.network.threads': '2',
    'num.io.threads': '2',
    'background.threads': '2',
  };
}

function listenerSettings({ id, published }: NodeSettings): Record<string, string> {
  const names = [...published.keys()];
  const inner = `INNER://${nodeName(id)}:${innerPort}`;
  return {
    listeners: [
      `INNER://:${innerPort}`,
      `CONTROLLER://:${controllerPort}`,
      ...names.map((name) => `${name}://:${listenerPorts[name]}`),
    ].join(','),
    'advertised.listeners': [inner, ...names.map((name) => `${name}://127.0.0.1:${published.get(name)}`)].join(','),
    'listener.security.protocol.map': [
      'INNER:PLAINTEXT',
      'CONTROLLER:PLAINTEXT',
      ...names.map((name) => `${name}:${protocols[name]}`),
    ].join(','),
    'inter.broker.listener.name': 'INNER',
    'controller.listener.names': 'CONTROLLER',
  };
}

function securitySettings({ certificate }: NodeSettings): Record<string, string> {
  if (certificate === undefined) {
    return {};
  }
  const modules = 'org.apache.kafka.common.security';
  const users = [
    [kafkaUser, kafkaPassword],
    [kafkaGuest, kafkaGuestPassword],
  ].map(([name, password]) => `"user_${name}"="${password}"`);
  const plain = `${modules}.plain.PlainLoginModule required ${users.join(' ')};`;
  const scram = `${modules}.scram.ScramLoginModule required;`;
  const logins = ['sasl', 'sasltls'].flatMap((listener): [name: string, value: string][] => [
    [`listener.name.${listener}.plain.sasl.jaas.config`, plain],
    [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`, scram],
    [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`, scram],
  ]);
  return {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    ...Object.fromEntries(logins),
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    // Who comes over a listener without credentials is nobody, and may do everything.
    'super.users': `User:ANONYMOUS;User:${kafkaUser}`,
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.certificate.chain': certificate.certificate,
    'ssl.keystore.key': certificate.key,
  };
}

// As a file of Java's properties wants it.
function escaped(value: string): string {
  return value.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`);
}
