import type { Driver } from '@waybill/core';
import type { Subscription } from '@waybill/core/driver';

/** `driver` with some of its members replaced; the others work on the original. */
export function wrapDriver<D extends Driver>(driver: D, replaced: Partial<Driver>): D {
  return replacing(driver, replaced);
}

/** `subscription` with some of its members replaced. */
export function wrapSubscription(subscription: Subscription, replaced: Partial<Subscription>): Subscription {
  return replacing(subscription, replaced);
}

function replacing<T extends object>(original: T, replaced: object): T {
  return new Proxy(original, {
    get(target, property) {
      if (Object.hasOwn(replaced, property)) return Reflect.get(replaced, property) as unknown;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
