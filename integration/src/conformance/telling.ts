import { wrapDriver } from '@waybill/conformance';
import type { Driver } from '@waybill/core';
import type { Topology } from '@waybill/core/driver';

/** `driver`, which tells what it is about to make. */
export function telling(driver: Driver, tell: (topology: Topology) => void): Driver {
  const { admin } = driver;
  if (admin === undefined) return driver;
  return wrapDriver(driver, {
    admin: {
      apply: (topology, signal) => {
        tell(topology);
        return admin.apply(topology, signal);
      },
      depth: (queue) => admin.depth(queue),
      purge: (queue, lane) => admin.purge(queue, lane),
    },
  });
}
