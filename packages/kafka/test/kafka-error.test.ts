import { createRequire } from 'node:module';
import { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { toWaybillError, typeOf } from '../src/kafka-error.ts';

// The classes and texts of the client itself, so that a new version of it cannot differ unseen.
const ofKafkajs = createRequire(new URL('../src/client/kafkajs-client.ts', import.meta.url));
type ErrorClass = new (message: unknown, options?: unknown) => Error;
const errors = ofKafkajs('kafkajs/src/errors') as Readonly<Record<string, ErrorClass>>;
const { errorCodes, createErrorFromCode } = ofKafkajs('kafkajs/src/protocol/error') as {
  readonly errorCodes: readonly { readonly type: string; readonly code: number }[];
  readonly createErrorFromCode: (code: number) => Error;
};

function protocolError(type: string): Error {
  const code = errorCodes.find((known) => known.type === type)?.code;
  if (code === undefined) throw new Error(`kafkajs does not know ${type}`);
  return createErrorFromCode(code);
}

function kafkajsError(name: string, message: unknown, options?: unknown): Error {
  return new (errors[name] as ErrorClass)(message, options);
}

const exceeded = (cause: Error): Error =>
  kafkajsError('KafkaJSNumberOfRetriesExceeded', cause, { retryCount: 5, retryTime: 1 });
const connectionError = (text: string, code?: string): Error =>
  kafkajsError('KafkaJSConnectionError', `Connection error: ${text}`, { broker: 'host:9092', code });

describe('what Kafka says', () => {
  test.each([
    ['UNKNOWN_TOPIC_OR_PARTITION', 'NOT_FOUND'],
    ['TOPIC_AUTHORIZATION_FAILED', 'PERMISSION_DENIED'],
    ['GROUP_AUTHORIZATION_FAILED', 'PERMISSION_DENIED'],
    ['CLUSTER_AUTHORIZATION_FAILED', 'PERMISSION_DENIED'],
    ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'PERMISSION_DENIED'],
    ['SASL_AUTHENTICATION_FAILED', 'PERMISSION_DENIED'],
    ['UNSUPPORTED_SASL_MECHANISM', 'PERMISSION_DENIED'],
    ['MESSAGE_TOO_LARGE', 'TOO_LARGE'],
    ['RECORD_LIST_TOO_LARGE', 'TOO_LARGE'],
    ['UNKNOWN_MEMBER_ID', 'LEASE_LOST'],
    ['ILLEGAL_GENERATION', 'LEASE_LOST'],
    ['FENCED_INSTANCE_ID', 'LEASE_LOST'],
    ['INCONSISTENT_GROUP_PROTOCOL', 'CONFLICT'],
    ['GROUP_MAX_SIZE_REACHED', 'CONFLICT'],
    ['NON_EMPTY_GROUP', 'CONFLICT'],
    ['INVALID_SESSION_TIMEOUT', 'INVALID_ARGUMENT'],
    ['INVALID_REPLICATION_FACTOR', 'INVALID_ARGUMENT'],
    ['INVALID_PARTITIONS', 'INVALID_ARGUMENT'],
    ['INVALID_CONFIG', 'UNSUPPORTED'],
    ['POLICY_VIOLATION', 'INVALID_ARGUMENT'],
    ['TOPIC_ALREADY_EXISTS', 'ALREADY_EXISTS'],
    ['UNSUPPORTED_VERSION', 'UNSUPPORTED'],
    ['CORRUPT_MESSAGE', 'INVALID_MESSAGE'],
    ['INVALID_TIMESTAMP', 'INVALID_MESSAGE'],
    ['REQUEST_TIMED_OUT', 'TIMEOUT'],
    ['NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'TIMEOUT'],
    ['NOT_ENOUGH_REPLICAS', 'UNAVAILABLE'],
    ['NOT_LEADER_FOR_PARTITION', 'UNAVAILABLE'],
    ['LEADER_NOT_AVAILABLE', 'UNAVAILABLE'],
    ['REPLICA_NOT_AVAILABLE', 'UNAVAILABLE'],
    ['REBALANCE_IN_PROGRESS', 'UNAVAILABLE'],
    ['GROUP_COORDINATOR_NOT_AVAILABLE', 'UNAVAILABLE'],
    ['NOT_COORDINATOR_FOR_GROUP', 'UNAVAILABLE'],
    ['GROUP_LOAD_IN_PROGRESS', 'UNAVAILABLE'],
    ['NETWORK_EXCEPTION', 'UNAVAILABLE'],
    ['KAFKA_STORAGE_ERROR', 'UNAVAILABLE'],
  ])('%s is %s', (type, expected) => {
    const cause = protocolError(type);
    const mapped = toWaybillError(cause, 'do it');
    expect(mapped.code).toBe(expected);
    expect(mapped.cause).toBe(cause);
    expect(mapped.message).toMatch(/^Could not do it: .+\.$/s);
    expect(toWaybillError(exceeded(cause), 'do it').code).toBe(expected);
    expect(typeOf(exceeded(cause))).toBe(type);
  });

  test('a group that does not take what was committed does not get better by itself', () => {
    const { code, retryable } = toWaybillError(protocolError('OFFSET_METADATA_TOO_LARGE'), 'commit');
    expect({ code, retryable }).toMatchObject({ retryable: false });
  });
});

describe('what the client says', () => {
  test.each<[string, Error, string]>([
    ['refused', connectionError('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED'), 'UNAVAILABLE'],
    ['no such host', connectionError('getaddrinfo ENOTFOUND kafka', 'ENOTFOUND'), 'UNAVAILABLE'],
    [
      'no connection in time',
      kafkajsError('KafkaJSConnectionError', 'Connection timeout', { broker: 'host:9092' }),
      'UNAVAILABLE',
    ],
    [
      'cut',
      kafkajsError('KafkaJSConnectionClosedError', 'Closed connection', { host: 'host', port: 9_092 }),
      'UNAVAILABLE',
    ],
    [
      'a node that left',
      kafkajsError('KafkaJSBrokerNotFound', 'Broker 3 not found in the cached metadata'),
      'UNAVAILABLE',
    ],
    [
      'no coordinator',
      kafkajsError('KafkaJSGroupCoordinatorNotFound', 'Failed to find group coordinator'),
      'UNAVAILABLE',
    ],
    ['no metadata', kafkajsError('KafkaJSMetadataNotLoaded', 'Topic metadata not loaded'), 'UNAVAILABLE'],
    [
      'no answer',
      kafkajsError('KafkaJSRequestTimeoutError', 'Request Produce(key: 0, version: 7) timed out'),
      'TIMEOUT',
    ],
    [
      'a wrong password',
      kafkajsError('KafkaJSSASLAuthenticationError', 'SASL PLAIN authentication failed'),
      'PERMISSION_DENIED',
    ],
    [
      'a certificate nobody knows',
      connectionError('self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT'),
      'INVALID_ARGUMENT',
    ],
    ['a port without TLS', connectionError('write EPROTO 0A00010B:SSL routines', 'EPROTO'), 'INVALID_ARGUMENT'],
    [
      'a request that the broker does not know',
      kafkajsError('KafkaJSServerDoesNotSupportApiKey', 'The Kafka server does not support the requested API version'),
      'UNSUPPORTED',
    ],
  ])('%s', (_, cause, expected) => {
    const mapped = toWaybillError(cause, 'do it');
    expect(mapped.code).toBe(expected);
    expect(mapped.message).toMatch(/^Could not do it: .+\. [A-Z].+\.$/s);
  });

  test('a node that goes away while TLS begins comes back', () => {
    const text = 'Client network socket disconnected before secure TLS connection was established';
    expect(toWaybillError(connectionError(text, 'ECONNRESET'), 'do it').code).toBe('UNAVAILABLE');
  });

  test.each([
    ['Connection error: read ECONNRESET', 'UNAVAILABLE'],
    ['Connection timeout', 'UNAVAILABLE'],
    ['Authentication failed: Invalid username or password', 'PERMISSION_DENIED'],
  ])('a handshake that ends with "%s" is %s', (said, expected) => {
    const cause = kafkajsError('KafkaJSSASLAuthenticationError', `SASL PLAIN authentication failed: ${said}`);
    expect(toWaybillError(cause, 'do it').code).toBe(expected);
  });

  test.each([
    ['INVALID_REPLICATION_FACTOR', 'INVALID_ARGUMENT'],
    ['TOPIC_AUTHORIZATION_FAILED', 'PERMISSION_DENIED'],
    ['POLICY_VIOLATION', 'INVALID_ARGUMENT'],
  ])('a topic that cannot be made because of %s is %s', (type, expected) => {
    const cause = kafkajsError('KafkaJSCreateTopicError', protocolError(type), 'billing');
    const mapped = toWaybillError(
      kafkajsError('KafkaJSAggregateError', 'Topic creation errors', [cause]),
      'create a topic',
    );
    expect(mapped.code).toBe(expected);
    expect(mapped.message).toContain(cause.message.replace(/\.$/, ''));
  });

  test('records that cannot be deleted say why', () => {
    const error = protocolError('TOPIC_AUTHORIZATION_FAILED');
    const cause = kafkajsError('KafkaJSDeleteTopicRecordsError', {
      partitions: [{ partition: 0, offset: '1', error }],
    });
    expect(toWaybillError(cause, 'delete records').code).toBe('PERMISSION_DENIED');
  });
});

describe('errors', () => {
  test('what is mapped already stays as it is', () => {
    const error = new WaybillError('CLOSED', 'closed');
    expect(toWaybillError(error, 'do it')).toBe(error);
  });

  test('what nobody knows is UNKNOWN, with its text', () => {
    expect(toWaybillError(new Error('surprise'), 'do it')).toMatchObject({
      code: 'UNKNOWN',
      message: 'Could not do it: surprise.',
    });
    expect(toWaybillError('text', 'do it')).toMatchObject({ code: 'UNKNOWN', message: 'Could not do it: text.' });
    expect(toWaybillError(undefined, 'do it')).toMatchObject({ code: 'UNKNOWN' });
    expect(typeOf(undefined)).toBe('');
  });

  test('the end of a long chain of causes is found, and of a circle none', () => {
    const cause = protocolError('MESSAGE_TOO_LARGE');
    expect(toWaybillError(exceeded(exceeded(exceeded(cause))), 'do it')).toMatchObject({ code: 'TOO_LARGE', cause });
    const circle = new Error('round');
    circle.cause = circle;
    expect(toWaybillError(circle, 'do it').code).toBe('UNKNOWN');
  });

  test('an error without a text has its type for one', () => {
    const cause = Object.assign(new AggregateError([new Error('connect ECONNREFUSED ::1:1')], ''), {
      code: 'ECONNREFUSED',
    });
    expect(toWaybillError(cause, 'do it')).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED') as unknown,
    });
  });
});
