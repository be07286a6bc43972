import type { Receiver, Sender, Session } from 'rhea';

import { type AmqpProblem, type Content, inside, mirror, refuseAttach } from './amqp.ts';
import type { AmqpServerOptions } from './amqp-server.ts';
import type { LinkHandler } from './link-handler.ts';
import { managementNode } from './management-node.ts';
import { Problem, unauthorized } from './problem.ts';
import { receivingLink } from './receiving-link.ts';
import { type Answer, ReplyLinks } from './request-link.ts';
import { sendingLink } from './sending-link.ts';
import { sessionFilter, sessionLink } from './session-link.ts';
import { checkEnabled } from './store.ts';
import { allows, type Claim, type Grant, pathOf, verify } from './token.ts';

type Link = Receiver | Sender;

const cbs = '$cbs';
const management = /\/?\$management$/;

/** The links of one client and what its tokens allow. */
export class AmqpConnection {
  readonly #options: AmqpServerOptions;
  readonly #handlers = new Map<Link, LinkHandler>();
  readonly #replies = new ReplyLinks();
  /** By audience. */
  readonly #grants = new Map<string, Grant>();

  constructor(options: AmqpServerOptions) {
    this.#options = options;
  }

  handler(link: Link): LinkHandler | undefined {
    return this.#handlers.get(link);
  }

  /** A client receives. */
  senderOpened(link: Sender): void {
    mirror(link);
    const { source } = inside(link).remote.attach;
    const address = (source?.address ?? '').replace(/^\//, '');
    this.#attach(link, () => {
      if (address === cbs || management.test(address)) {
        return this.#replies.add(link);
      }
      this.#demand('Listen', address);
      const { namespace, faults } = this.#options;
      const options = { path: address, mailbox: namespace.mailbox(address), faults };
      const wantsSession = Object.hasOwn(source?.filter ?? {}, sessionFilter);
      this.#checkReceiver(address, wantsSession);
      return wantsSession ? sessionLink(link, options) : receivingLink(link, options);
    });
  }

  /** A client sends. */
  receiverOpened(link: Receiver): void {
    mirror(link);
    const address = (inside(link).remote.attach.target?.address ?? '').replace(/^\//, '');
    this.#attach(link, () => {
      if (address === cbs) {
        return this.#replies.requests((request) => this.#putToken(request));
      }
      if (management.test(address)) {
        return this.#managementLink(address.replace(management, ''));
      }
      this.#demand('Send', address);
      const { namespace, faults, maxMessageSize } = this.#options;
      namespace.find(address);
      inside(link).local.attach.max_message_size = maxMessageSize;
      return sendingLink(link, { namespace, faults, path: address, maxMessageSize });
    });
  }

  linkClosed(link: Link): void {
    this.#handlers.get(link)?.close();
    this.#handlers.delete(link);
  }

  sessionClosed(session: Session): void {
    for (const link of this.#handlers.keys()) {
      if (link.session === session) {
        this.linkClosed(link);
      }
    }
  }

  closed(): void {
    for (const link of this.#handlers.keys()) {
      this.linkClosed(link);
    }
  }

  /** Detaches links to an entity and, where `below`, to what is part of it. */
  detachLinks(path: string, problem: AmqpProblem, below: boolean): void {
    const wanted = path.toLowerCase();
    for (const [link, handler] of this.#handlers) {
      const found = handler.path.toLowerCase();
      if (found === wanted || (below && found.startsWith(`${wanted}/`))) {
        link.close({ condition: problem.condition, description: problem.description });
        this.linkClosed(link);
      }
    }
  }

  #attach(link: Link, make: () => LinkHandler): void {
    try {
      this.#handlers.set(link, make());
    } catch (error) {
      if (!(error instanceof Problem)) {
        throw error;
      }
      refuseAttach(link, error);
    }
  }

  #managementLink(path: string): LinkHandler {
    const { namespace, faults } = this.#options;
    const answer = managementNode(namespace, path);
    return this.#replies.requests((request) => {
      faults.checkRequest(path);
      const answered = answer(request);
      namespace.flush();
      return answered;
    });
  }

  #putToken({ application_properties: properties, body }: Content): Answer {
    const audience = pathOf(String(properties?.['name']));
    const grant = verify(this.#options.access, String(body));
    const path = audience.replace(management, '');
    if (path !== '') {
      this.#options.namespace.find(path);
    }
    this.#grants.set(audience, grant);
    return { status: 202 };
  }

  #demand(claim: Claim, path: string): void {
    if (!allows(this.#grants.values(), claim, path)) {
      const text = `Unauthorized access. '${claim}' claim(s) are required to perform this operation. Resource: 'sb://localhost/${path}'.`;
      throw unauthorized(text);
    }
  }

  #checkReceiver(path: string, wantsSession: boolean): void {
    const entity = this.#options.namespace.find(path);
    checkEnabled(entity, 'ReceiveDisabled');
    const hasSessions = entity.kind !== 'topic' && entity.settings.requiresSession && !/\$deadletterqueue$/i.test(path);
    if (hasSessions && !wantsSession) {
      throw new Problem(
        'amqp:not-allowed',
        `It is not possible for an entity that requires sessions to create a non-sessionful message receiver.`,
        400,
      );
    }
    if (!hasSessions && wantsSession) {
      const text = 'A sessionful message receiver cannot be created on an entity that does not require sessions.';
      throw new Problem('amqp:not-allowed', text, 400);
    }
  }
}
