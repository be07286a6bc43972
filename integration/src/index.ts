export { type ContainerControl, controlContainer, readyOrRemoved, untilReady } from './container.ts';
export {
  attachElasticmq,
  type Elasticmq,
  type ElasticmqDescriptor,
  type ElasticmqOptions,
  startElasticmq,
} from './elasticmq.ts';
export { ensureEngine, engineVersion, stopEngine } from './engine.ts';
export { eventually, type EventuallyOptions } from './eventually.ts';
export { freePort } from './free-port.ts';
export { type Image, type ImageKind, resolveImage } from './images.ts';
export {
  attachKafka,
  type Kafka,
  type KafkaDescriptor,
  type KafkaNode,
  type KafkaOptions,
  type SecuredListeners,
  startKafka,
} from './kafka.ts';
export { kafkaProxies, type KafkaProxies, throughProxies } from './kafka-proxies.ts';
export { ensureKcat, kcat } from './kcat.ts';
export { kafkaGuest, kafkaGuestPassword, kafkaPassword, kafkaUser } from './kafka-settings.ts';
export { LocalContainer } from './local-container.ts';
export { attachLocalemu, type Localemu, type LocalemuOptions, startLocalemu } from './localemu.ts';
export type { PolicyStatement } from './localemu-users.ts';
export { ownerLabels } from './owner.ts';
export { prepare } from './prepare-machine.ts';
export { printProgress, type Progress, silent, withoutRepeats } from './progress.ts';
export { openProxies, type Proxies } from './proxies.ts';
export { type Proxy, type ProxyOptions, startProxy } from './proxy.ts';
export {
  attachRabbitmq,
  type Rabbitmq,
  type RabbitmqDescriptor,
  type RabbitmqNode,
  type RabbitmqOptions,
  rabbitmqVersionAt,
  startRabbitmq,
} from './rabbitmq.ts';
export { isBrokerGiven, rabbitmqPassword, rabbitmqUser, type RabbitmqVersion } from './rabbitmq-settings.ts';
export { redisPassword, type RedisServer, startRedis } from './redis.ts';
export {
  givenSqs,
  sqsClientSettings,
  type SqsClientSettings,
  type SqsCredentials,
  type SqsDescriptor,
  sqsSettings,
} from './sqs-server.ts';
export { sweepLeftovers } from './sweep.ts';
export { startToxiproxy, type ToxiproxyDescriptor, type ToxiproxyServer } from './toxiproxy.ts';
export { startWorker, type Worker, type WorkerExit, type WorkerOptions } from './worker.ts';
export { chooseServiceBus, type ServiceBusChoice, type ServiceBusServer, startServiceBus } from './service-bus.ts';
export type { ServiceBusDescriptor } from './service-bus-server.ts';
export {
  attachServiceBusStandin,
  type EntityProperties,
  type OwnServiceBusStandin,
  type ServiceBusStandin,
  type ServiceBusStandinDescriptor,
  type ServiceBusStandinOptions,
  startServiceBusStandin,
} from './service-bus-standin.ts';
