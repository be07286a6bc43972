import type { AmqpProblem } from './amqp.ts';

/** A refusal as the service words it. */
export class Problem extends Error implements AmqpProblem {
  readonly condition: string;
  /** Of an answer to a request. */
  readonly status: number;

  constructor(condition: string, description: string, status: number) {
    super(description);
    this.condition = condition;
    this.status = status;
  }

  get description(): string {
    return this.message;
  }
}

export function lockLost(): Problem {
  const text =
    'The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue.';
  return new Problem('com.microsoft:message-lock-lost', text, 410);
}

export function sessionLockLost(): Problem {
  const text = 'The session lock has expired on the MessageSession. Accept a new MessageSession.';
  return new Problem('com.microsoft:session-lock-lost', text, 410);
}

export function sessionLocked(sessionId: string): Problem {
  const text = `The requested session '${sessionId}' cannot be accepted. It may be locked by another receiver.`;
  return new Problem('com.microsoft:session-cannot-be-locked', text, 410);
}

export function entityNotFound(path: string): Problem {
  const text = `The messaging entity 'sb://localhost/${path}' could not be found.`;
  return new Problem('amqp:not-found', text, 404);
}

export function messageNotFound(): Problem {
  return new Problem('com.microsoft:message-not-found', 'The message was not found.', 404);
}

export function unauthorized(description: string): Problem {
  return new Problem('amqp:unauthorized-access', description, 401);
}

export function notAllowed(description: string): Problem {
  return new Problem('amqp:not-allowed', description, 400);
}

export function invalid(description: string): Problem {
  return new Problem('com.microsoft:argument-error', description, 400);
}

export function serverBusy(): Problem {
  const text =
    'The request was terminated because the entity is being throttled. Error code : 50009. Please wait 2 seconds and try again.';
  return new Problem('com.microsoft:server-busy', text, 503);
}

export function sizeExceeded(size: number, limit: number): Problem {
  const text = `The received message (size:${size} bytes) exceeds the limit (${limit} bytes) currently allowed on the link.`;
  return new Problem('amqp:link:message-size-exceeded', text, 400);
}
