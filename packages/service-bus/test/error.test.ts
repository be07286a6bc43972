import { inspect } from 'node:util';
import { WaybillError } from '@waybill/core/driver';
import { describe, expect, test } from 'vitest';
import { toWaybillError } from '../src/service-bus-error.ts';

function thrown(facts: Readonly<Record<string, unknown>>): Error {
  return Object.assign(new Error('none'), facts);
}

describe('errors of the client', () => {
  test.each([
    [{ name: 'ServiceBusError', code: 'MessageLockLost', message: 'The lock is invalid' }, 'LEASE_LOST'],
    [{ name: 'ServiceBusError', code: 'SessionLockLost', message: 'The session lock expired' }, 'LEASE_LOST'],
    [{ name: 'ServiceBusError', code: 'MessageNotFound', message: 'gone' }, 'LEASE_LOST'],
    [{ message: 'The message has either been deleted or already settled' }, 'LEASE_LOST'],
    [{ name: 'ServiceBusError', code: 'MessagingEntityNotFound', message: 'no such queue' }, 'NOT_FOUND'],
    [{ name: 'RestError', code: 'MessageEntityNotFoundError', statusCode: 404, message: 'no' }, 'NOT_FOUND'],
    [{ name: 'ServiceBusError', code: 'UnauthorizedAccess', message: 'Unauthorized' }, 'PERMISSION_DENIED'],
    [{ name: 'RestError', code: 'UnauthorizedRequestError', statusCode: 401, message: 'no' }, 'PERMISSION_DENIED'],
    [{ name: 'ServiceBusError', code: 'MessageSizeExceeded', message: 'too big' }, 'TOO_LARGE'],
    [{ name: 'ServiceBusError', code: 'ServiceBusy', message: 'busy' }, 'THROTTLED'],
    [{ name: 'ServiceBusError', code: 'QuotaExceeded', message: 'full' }, 'THROTTLED'],
    [{ name: 'RestError', statusCode: 429, message: 'slow down' }, 'THROTTLED'],
    [{ name: 'RestError', code: 'MessageEntityAlreadyExistsError', statusCode: 409, message: 'is' }, 'ALREADY_EXISTS'],
    [{ name: 'RestError', statusCode: 409, message: 'SubCode=40901. Another conflicting operation' }, 'UNAVAILABLE'],
    [{ name: 'RestError', code: 'REQUEST_SEND_ERROR', message: 'connect ECONNREFUSED' }, 'UNAVAILABLE'],
    [{ name: 'ServiceBusError', code: 'ServiceTimeout', message: 'no answer' }, 'TIMEOUT'],
    [{ name: 'AbortError', message: 'The operation was aborted.' }, 'TIMEOUT'],
    [{ name: 'ServiceBusError', code: 'ServiceCommunicationProblem', message: 'lost' }, 'UNAVAILABLE'],
    [{ code: 'ECONNRESET', message: 'read ECONNRESET' }, 'UNAVAILABLE'],
    [{ code: 'SELF_SIGNED_CERT_IN_CHAIN', message: 'self-signed certificate' }, 'INVALID_ARGUMENT'],
    [{ condition: 'amqp:link:detach-forced', description: 'The link was force detached.' }, 'UNAVAILABLE'],
    [{ message: 'something else' }, 'UNKNOWN'],
  ])('%j is %s', (facts, code) => {
    const error = toWaybillError(thrown(facts), 'do it');
    expect(error.code).toBe(code);
    expect(error.message).toContain('Could not do it: ');
    expect(error.cause).toBeInstanceOf(Error);
  });

  test('of several causes in an AggregateError the last counts', () => {
    const lost = thrown({ name: 'ServiceBusError', code: 'MessageLockLost', message: 'gone' });
    const several = new AggregateError([thrown({ code: 'ECONNRESET', message: 'cut' }), lost]);
    expect(toWaybillError(several, 'settle').code).toBe('LEASE_LOST');
  });

  test('an error of ours is not wrapped again', () => {
    const own = new WaybillError('CLOSED', 'closed');
    expect(toWaybillError(own, 'do it')).toBe(own);
  });

  test('no key, signature or token of the client shows', () => {
    const secret = 'hunter2';
    const error = toWaybillError(
      thrown({
        message: `SharedAccessSignature sr=x&sig=${secret}&se=1; SharedAccessKey=${secret}; Bearer ${secret}`,
        request: { headers: { authorization: secret } },
      }),
      'do it',
    );
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(secret);
  });
});
