import type { Driver } from '@waybill/core';

/** `driver` with some of its members replaced; the others work on the original. */
export function wrapDriver<D extends Driver>(driver: D, replaced: Partial<Driver>): D {
  return new Proxy(driver, {
    get(target, property) {
      if (Object.hasOwn(replaced, property)) return Reflect.get(replaced, property) as unknown;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
