import { WaybillError, type WaybillErrorCode } from '@waybill/core/driver';
import type { Settings } from './rabbitmq-options.ts';
import type { Entity } from './rabbitmq-topology.ts';

const CODES: Readonly<Record<number, WaybillErrorCode>> = {
  401: 'PERMISSION_DENIED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
};

type Json = Readonly<Record<string, unknown>>;

/** The management plugin's HTTP API knows what AMQP cannot tell: unsettled messages, bindings, settings. */
export class RabbitmqManagement {
  readonly #access: NonNullable<Settings['management']>;

  constructor(access: NonNullable<Settings['management']>) {
    this.#access = access;
  }

  async unacknowledged(queue: string): Promise<number | undefined> {
    const count = ((await this.#get('queues', queue)) as Json)['messages_unacknowledged'];
    return typeof count === 'number' ? count : undefined;
  }

  /** One sentence when the entity, which exists, is not as it should be, or when a binding is missing. */
  async differenceOf(entity: Entity): Promise<string | undefined> {
    if (entity.kind === 'binding') {
      const type = entity.to === 'queue' ? 'q' : 'e';
      const bindings = (await this.#get(
        'bindings',
        undefined,
        `/e/${encodeURIComponent(entity.source)}/${type}/${encodeURIComponent(entity.name)}`,
      )) as readonly Json[];
      const found = bindings.some((binding) => binding['routing_key'] === entity.pattern);
      return found
        ? undefined
        : `The ${entity.to} "${entity.name}" is not bound to exchange "${entity.source}" with "${entity.pattern}".`;
    }
    const actual = (await this.#get(entity.kind === 'queue' ? 'queues' : 'exchanges', entity.name)) as Json;
    const current = (actual['arguments'] ?? {}) as Json;
    const differing = Object.entries(entity.arguments).find(([name, value]) => current[name] !== value);
    if (differing !== undefined) {
      const [setting, wanted] = differing;
      return `The ${entity.kind} "${entity.name}" has ${setting} ${String(current[setting])} instead of ${String(wanted)}.`;
    }
    if (entity.kind === 'queue' || actual['type'] === entity.type) return undefined;
    return `The exchange "${entity.name}" has type ${String(actual['type'])} instead of ${entity.type}.`;
  }

  async #get(collection: string, name: string | undefined, rest = ''): Promise<unknown> {
    const { url, vhost, authorization } = this.#access;
    const path = `${url}/api/${collection}/${vhost}${name === undefined ? '' : `/${encodeURIComponent(name)}`}${rest}`;
    let response: Response;
    try {
      response = await fetch(path, { headers: { authorization } });
    } catch (cause) {
      throw new WaybillError(
        'UNAVAILABLE',
        `Could not reach the RabbitMQ management API at ${url}. Check managementUrl, and that the plugin is enabled.`,
        { cause },
      );
    }
    if (response.ok) return response.json();
    await response.body?.cancel();
    throw new WaybillError(
      CODES[response.status] ?? 'UNAVAILABLE',
      `The RabbitMQ management API answered ${response.status} to GET ${path}.`,
    );
  }
}
