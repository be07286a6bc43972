import type { Delivery, Sender } from 'rhea';

import { accept, type Content, inside, sendSettled } from './amqp.ts';
import type { LinkHandler } from './link-handler.ts';
import { Problem } from './problem.ts';

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

export type RequestHandler = (request: Content) => Answer;

/** The links on which a connection's answers go, by the address that requests name in `reply_to`. */
export class ReplyLinks {
  readonly #links = new Map<string, Sender>();

  add(link: Sender): LinkHandler {
    // The client names no target for answers of `$cbs`: its link has the name of the address.
    const address = inside(link).remote.attach.target?.address ?? link.name;
    this.#links.set(address, link);
    return { path: '', close: () => void this.#links.delete(address) };
  }

  /** Handles requests of a link and answers each. */
  requests(handle: RequestHandler): LinkHandler {
    return {
      path: '',
      message: (message, delivery) => this.#answer(message as Content, delivery, handle),
      close: () => undefined,
    };
  }

  #answer(request: Content, delivery: Delivery, handle: RequestHandler): void {
    accept(delivery);
    const { properties, body } = outcomeOf(() => handle(request));
    const link = this.#links.get(request.reply_to ?? '');
    if (link !== undefined) {
      sendSettled(link, { correlation_id: request.message_id, application_properties: properties, body });
    }
  }
}

function outcomeOf(handle: () => Answer): { properties: Record<string, unknown>; body: unknown } {
  try {
    const { status, body } = handle();
    return { properties: statusProperties(status, 'OK'), body };
  } catch (error) {
    if (!(error instanceof Problem)) {
      throw error;
    }
    const properties = statusProperties(error.status, error.description);
    return {
      properties: { ...properties, errorCondition: error.condition, 'error-condition': error.condition },
      body: null,
    };
  }
}

/** `$cbs` and `$management` spell the names differently. */
function statusProperties(status: number, description: string): Record<string, unknown> {
  return {
    statusCode: status,
    'status-code': status,
    statusDescription: description,
    'status-description': description,
  };
}
