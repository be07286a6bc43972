import type { WaybillErrorCode } from '@waybill/core/driver';

interface Captured {
  readonly what: string;
  readonly error: { readonly name: string; readonly message: string; readonly code?: number | string };
  readonly expected: WaybillErrorCode;
  readonly says: string;
}

const channel = (code: number, name: string, text: string): Captured['error'] => ({
  name: 'Error',
  code,
  message: `Channel closed by server: ${code} (${name}) with message "${text}"`,
});
const operation = (method: string, code: number, name: string, text: string): Captured['error'] => ({
  name: 'Error',
  code,
  message: `Operation failed: ${method}; ${code} (${name}) with message "${text}"`,
});
const plain = (message: string, code?: string): Captured['error'] => ({
  name: 'Error',
  message,
  ...(code === undefined ? {} : { code }),
});

/** As amqplib 2.3.1 and Node 20 gave them, with RabbitMQ 4.0.5 and 4.3.6. */
export const captured: readonly Captured[] = [
  {
    what: 'a wrong password',
    error: plain(
      'Handshake terminated by server: 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."',
    ),
    expected: 'PERMISSION_DENIED',
    says: 'Login was refused',
  },
  {
    what: 'an unknown virtual host',
    error: plain('Expected ConnectionOpenOk; got <ConnectionClose channel:0>'),
    expected: 'NOT_FOUND',
    says: 'virtual host',
  },
  {
    what: 'a port that speaks HTTP',
    error: plain('Frame size 1345270062 exceeds maxFrameSize 67108864'),
    expected: 'INVALID_ARGUMENT',
    says: 'not RabbitMQ',
  },
  {
    what: 'TLS to a plain port',
    error: plain(
      '80CCAA60D17F0000:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/openssl/openssl/ssl/record/ssl3_record.c:350:\n',
      'ERR_SSL_WRONG_VERSION_NUMBER',
    ),
    expected: 'INVALID_ARGUMENT',
    says: 'tls',
  },
  {
    what: 'a certificate that nobody knows',
    error: plain('self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT'),
    expected: 'INVALID_ARGUMENT',
    says: 'tls',
  },
  {
    what: 'nothing that listens',
    error: plain('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED'),
    expected: 'UNAVAILABLE',
    says: 'ECONNREFUSED',
  },
  {
    what: 'an unknown host',
    error: plain('getaddrinfo ENOTFOUND nope.invalid', 'ENOTFOUND'),
    expected: 'UNAVAILABLE',
    says: 'nope.invalid',
  },
  { what: 'a reset', error: plain('read ECONNRESET', 'ECONNRESET'), expected: 'UNAVAILABLE', says: 'ECONNRESET' },
  { what: 'a silent server', error: plain('connect ETIMEDOUT'), expected: 'UNAVAILABLE', says: 'ETIMEDOUT' },
  {
    what: 'a server that hangs up',
    error: plain('Socket closed abruptly during opening handshake'),
    expected: 'UNAVAILABLE',
    says: 'abruptly',
  },
  { what: 'a missed heartbeat', error: plain('Heartbeat timeout'), expected: 'UNAVAILABLE', says: 'Heartbeat' },
  { what: 'a socket that ended', error: plain('Unexpected close'), expected: 'UNAVAILABLE', says: 'connects again' },
  {
    what: 'an aborted socket',
    error: { ...plain('The operation was aborted', 'ABORT_ERR'), name: 'AbortError' },
    expected: 'UNAVAILABLE',
    says: 'aborted',
  },
  {
    what: 'a broker that shuts down',
    error: {
      ...plain(
        'Connection closed: 320 (CONNECTION-FORCED) with message "CONNECTION_FORCED - broker forced connection closure with reason \'shutdown\'"',
      ),
      code: 320,
    },
    expected: 'UNAVAILABLE',
    says: 'shutdown',
  },
  { what: 'an unconfirmed publish', error: plain('channel closed'), expected: 'UNAVAILABLE', says: 'channel closed' },
  {
    what: 'a request on a channel that closes',
    error: plain('Channel ended, no reply will be forthcoming'),
    expected: 'UNAVAILABLE',
    says: 'no reply',
  },
  {
    what: 'a closed channel',
    error: { name: 'IllegalOperationError', message: 'Channel closed' },
    expected: 'UNAVAILABLE',
    says: 'Channel closed',
  },
  {
    what: 'no more channels',
    error: plain('No channels left to allocate'),
    expected: 'UNAVAILABLE',
    says: 'No channels left',
  },
  { what: 'a refused message', error: plain('message nacked'), expected: 'UNAVAILABLE', says: 'queue is full' },
  {
    what: 'a missing queue',
    error: operation('QueueDeclare', 404, 'NOT-FOUND', "NOT_FOUND - no queue 'nope' in vhost '/'"),
    expected: 'NOT_FOUND',
    says: "no queue 'nope'",
  },
  {
    what: 'a missing exchange',
    error: channel(404, 'NOT-FOUND', "NOT_FOUND - no exchange 'nope' in vhost '/'"),
    expected: 'NOT_FOUND',
    says: "no exchange 'nope'",
  },
  {
    what: 'a difference',
    error: operation(
      'QueueDeclare',
      406,
      'PRECONDITION-FAILED',
      "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'ineq' in vhost '/': received '20' but current is '100'",
    ),
    expected: 'CONFLICT',
    says: 'x-delivery-limit',
  },
  {
    what: 'an unknown delivery tag',
    error: channel(406, 'PRECONDITION-FAILED', 'PRECONDITION_FAILED - unknown delivery tag 77'),
    expected: 'CONFLICT',
    says: 'tag 77',
  },
  {
    what: 'a message that is too large',
    error: channel(
      406,
      'PRECONDITION-FAILED',
      'PRECONDITION_FAILED - message size 17000000 is larger than configured max size 16777216',
    ),
    expected: 'TOO_LARGE',
    says: '17000000',
  },
  {
    what: 'a message held for too long',
    error: channel(
      406,
      'PRECONDITION-FAILED',
      'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 10000 ms. This timeout value can be configured, see consumers doc guide to learn more',
    ),
    expected: 'UNAVAILABLE',
    says: 'consumer timeout',
  },
  {
    what: 'a locked queue',
    error: operation(
      'QueueDeclare',
      405,
      'RESOURCE-LOCKED',
      "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'excl' in vhost '/'.",
    ),
    expected: 'CONFLICT',
    says: 'exclusive',
  },
  {
    what: 'a missing right',
    error: channel(
      403,
      'ACCESS-REFUSED',
      "ACCESS_REFUSED - write access to exchange 'inex' in vhost '/' refused for user 'limited'",
    ),
    expected: 'PERMISSION_DENIED',
    says: 'write access',
  },
  {
    what: 'headers that are too large',
    error: {
      name: 'RangeError',
      message: 'Encoded field table (headers or arguments) exceeds the 65536 byte encoding buffer',
    },
    expected: 'TOO_LARGE',
    says: '64 KiB',
  },
  {
    what: 'a header name that is too long',
    error: {
      name: 'RangeError',
      code: 'ERR_OUT_OF_RANGE',
      message: 'The value of "value" is out of range. It must be >= 0 and <= 255. Received 300',
    },
    expected: 'TOO_LARGE',
    says: '255 bytes',
  },
  {
    what: 'a type that is too long',
    error: { name: 'TypeError', message: "Field 'type' is the wrong type; must be a string (up to 255 chars)" },
    expected: 'INVALID_MESSAGE',
    says: "'type'",
  },
];
