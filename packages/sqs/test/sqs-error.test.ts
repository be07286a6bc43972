import { inspect } from 'node:util';
import { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { entryError, sendError, toWaybillError } from '../src/sqs-error.ts';

function answered(name: string, status: number, message = 'Something is wrong.', more: object = {}): Error {
  const error = new Error(message);
  error.name = name;
  return Object.assign(error, { $metadata: { httpStatusCode: status, requestId: 'r-1' }, ...more });
}

function broken(code: string, message = `connect ${code} 127.0.0.1:1`): Error {
  return Object.assign(new Error(message), { code });
}

function named(name: string, message: string): Error {
  return Object.assign(new Error(message), { name });
}

describe('an answer', () => {
  test.each([
    ['QueueDoesNotExist', 400, 'NOT_FOUND'],
    ['AWS.SimpleQueueService.NonExistentQueue', 400, 'NOT_FOUND'],
    ['NotFoundException', 404, 'NOT_FOUND'],
    ['NotFound', 404, 'NOT_FOUND'],
    ['ResourceNotFoundException', 404, 'NOT_FOUND'],
    ['InvalidClientTokenId', 403, 'PERMISSION_DENIED'],
    ['UnrecognizedClientException', 403, 'PERMISSION_DENIED'],
    ['SignatureDoesNotMatch', 403, 'PERMISSION_DENIED'],
    ['InvalidSignatureException', 403, 'PERMISSION_DENIED'],
    ['ExpiredToken', 403, 'PERMISSION_DENIED'],
    ['RequestExpired', 400, 'PERMISSION_DENIED'],
    ['AccessDenied', 403, 'PERMISSION_DENIED'],
    ['AccessDeniedException', 400, 'PERMISSION_DENIED'],
    ['AuthorizationErrorException', 403, 'PERMISSION_DENIED'],
    ['KMSAccessDeniedException', 400, 'PERMISSION_DENIED'],
    ['Forbidden', 403, 'PERMISSION_DENIED'],
    ['RequestThrottled', 403, 'THROTTLED'],
    ['ThrottlingException', 400, 'THROTTLED'],
    ['Throttling', 400, 'THROTTLED'],
    ['KmsThrottled', 400, 'THROTTLED'],
    ['OverLimit', 403, 'THROTTLED'],
    ['TooManyRequests', 429, 'THROTTLED'],
    ['AWS.SimpleQueueService.PurgeQueueInProgress', 403, 'THROTTLED'],
    ['ReceiptHandleIsInvalid', 404, 'LEASE_LOST'],
    ['MessageNotInflight', 400, 'LEASE_LOST'],
    ['AWS.SimpleQueueService.MessageNotInflight', 400, 'LEASE_LOST'],
    ['BatchRequestTooLong', 400, 'TOO_LARGE'],
    ['AWS.SimpleQueueService.BatchRequestTooLong', 400, 'TOO_LARGE'],
    ['RequestEntityTooLarge', 413, 'TOO_LARGE'],
    ['InvalidMessageContents', 400, 'INVALID_MESSAGE'],
    ['QueueDeletedRecently', 400, 'UNAVAILABLE'],
    ['QueueNameExists', 400, 'CONFLICT'],
    ['QueueAlreadyExists', 400, 'CONFLICT'],
    ['ServiceUnavailable', 503, 'UNAVAILABLE'],
    ['InternalError', 500, 'UNAVAILABLE'],
    ['InternalFailure', 500, 'UNAVAILABLE'],
    ['UnsupportedOperation', 400, 'UNSUPPORTED'],
    ['InvalidParameterValue', 400, 'INVALID_ARGUMENT'],
    ['InvalidAttributeValue', 400, 'INVALID_ARGUMENT'],
    ['SyntaxError', 502, 'UNAVAILABLE'],
    ['SyntaxError', 504, 'TIMEOUT'],
  ])('%s with %i is %s', (name, status, code) => {
    expect(toWaybillError(answered(name, status), 'do it').code).toBe(code);
  });

  test.each([
    [
      'InvalidParameterValue',
      'Value h for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.',
    ],
    ['InvalidParameterValue', 'Message does not exist or is not available for visibility timeout change.'],
  ])('%s is a lost lease when it says %j', (name, message) => {
    expect(toWaybillError(answered(name, 400, message), 'do it').code).toBe('LEASE_LOST');
    expect(entryError({ Code: name, Message: message }, 'do it').code).toBe('LEASE_LOST');
  });

  test.each([
    [
      'InvalidParameterValue',
      'One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.',
    ],
    ['InvalidParameter', 'Invalid parameter: Message too long'],
  ])('%s is too large when it says %j', (name, message) => {
    expect(toWaybillError(answered(name, 400, message), 'do it').code).toBe('TOO_LARGE');
  });

  test('says what was attempted, what the broker said and what to do', () => {
    const { message } = toWaybillError(answered('QueueDoesNotExist', 400, 'No such queue.'), 'receive from queue "a"');
    expect(message).toBe(
      'Could not receive from queue "a": No such queue. Apply the topology, and check the account and the region.',
    );
  });

  test('is wrapped once', () => {
    const error = toWaybillError(answered('X', 400), 'do it');
    expect(toWaybillError(error, 'do more')).toBe(error);
    expect(sendError(error, 'do more')).toBe(error);
  });

  test('keeps name, status and request id, and no secret', () => {
    const canonical = 'The request signature does not match.\n\nx-amz-security-token:hunter2\nAKIAIOSFODNN7EXAMPLE';
    const $response = { statusCode: 403, body: 'hunter2' };
    const error = toWaybillError(answered('SignatureDoesNotMatch', 403, canonical, { $response }), 'do it');
    const key = toWaybillError(
      answered('X', 403, 'Key AKIAIOSFODNN7EXAMPLE, Signature=hunter2, Token=hunter2'),
      'do it',
    );
    for (const each of [error, key]) {
      expect(inspect(each, { depth: 20, showHidden: true })).not.toMatch(/hunter2|IOSFODNN7/);
    }
    expect(error.cause).toMatchObject({ name: 'SignatureDoesNotMatch', status: 403, requestId: 'r-1' });
  });
});

describe('without an answer', () => {
  test.each([
    [broken('ECONNREFUSED'), 'UNAVAILABLE'],
    [broken('ENOTFOUND', 'getaddrinfo ENOTFOUND sqs.eu-nowhere-1.amazonaws.com'), 'UNAVAILABLE'],
    [broken('ECONNRESET', 'socket hang up'), 'UNAVAILABLE'],
    [broken('EPIPE', 'write EPIPE'), 'UNAVAILABLE'],
    [named('TimeoutError', 'a request has exceeded the configured 10 ms requestTimeout.'), 'TIMEOUT'],
    [named('AbortError', 'Request aborted'), 'TIMEOUT'],
    [named('CredentialsProviderError', 'Could not load credentials from any providers'), 'PERMISSION_DENIED'],
    [named('Error', 'Region is missing'), 'INVALID_ARGUMENT'],
    [broken('DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed certificate'), 'INVALID_ARGUMENT'],
    [broken('EPROTO', 'write EPROTO … wrong version number'), 'INVALID_ARGUMENT'],
    [new Error('hm'), 'UNKNOWN'],
    ['hm', 'UNKNOWN'],
    [undefined, 'UNKNOWN'],
  ])('%s is %s', (error, code) => {
    expect(toWaybillError(error, 'do it').code).toBe(code);
  });

  test.each([
    [broken('ECONNREFUSED'), 'UNAVAILABLE'],
    [broken('ENOTFOUND'), 'UNAVAILABLE'],
    [named('TimeoutError', 'the request socket did not establish a connection with the server'), 'UNAVAILABLE'],
    [broken('ECONNRESET', 'socket hang up'), 'TIMEOUT'],
    [broken('EPIPE', 'write EPIPE'), 'TIMEOUT'],
    [named('TimeoutError', 'a request has exceeded the configured 10 ms requestTimeout.'), 'TIMEOUT'],
    [named('AbortError', 'Request aborted'), 'TIMEOUT'],
    [answered('InternalError', 500), 'TIMEOUT'],
    [answered('SyntaxError', 502), 'TIMEOUT'],
    [answered('ServiceUnavailable', 503), 'UNAVAILABLE'],
    [answered('RequestThrottled', 403), 'THROTTLED'],
    [answered('QueueDoesNotExist', 400), 'NOT_FOUND'],
    [named('CredentialsProviderError', 'Could not load credentials'), 'PERMISSION_DENIED'],
  ])('%s of a send is %s: UNAVAILABLE only when nothing was stored', (error, code) => {
    expect(sendError(error, 'store messages').code).toBe(code);
  });
});

test('an entry that failed without a reason has an error, too', () => {
  const error = entryError({}, 'store messages');
  expect(WaybillError.is(error)).toBe(true);
  expect(error.message).toContain('without a reason');
});
