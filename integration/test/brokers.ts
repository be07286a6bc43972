import type { TestProject } from 'vitest/node';

import {
  type ElasticmqDescriptor,
  isBrokerGiven,
  prepare,
  printProgress,
  type RabbitmqDescriptor,
  type SqsDescriptor,
  startElasticmq,
  startLocalemu,
  startRabbitmq,
  startToxiproxy,
  type ToxiproxyDescriptor,
  withoutRepeats,
} from '../src/index.ts';

declare module 'vitest' {
  interface ProvidedContext {
    rabbitmq: RabbitmqDescriptor;
    /** What {@link isBrokerGiven} leaves out; see `shared.ts`. */
    containers:
      | {
          rabbitmqOld: RabbitmqDescriptor;
          toxiproxy: ToxiproxyDescriptor;
          localemu: SqsDescriptor;
          elasticmq: ElasticmqDescriptor;
        }
      | undefined;
  }
}

/** Starts the brokers that all test files share, once per run, and removes them at its end. */
// oxlint-disable-next-line import/no-default-export -- Vitest takes the teardown from a default export.
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const progress = withoutRepeats(printProgress());
  await prepare(progress);
  if (isBrokerGiven()) {
    project.provide('rabbitmq', (await startRabbitmq({ progress })).descriptor);
    project.provide('containers', undefined);
    return async () => {};
  }
  const starts = [
    startRabbitmq({ progress, management: true }),
    startRabbitmq({ progress, version: 'old' }),
    startToxiproxy(progress),
    startLocalemu({ progress }),
    startElasticmq({ storage: 'memory', progress }),
  ] as const;
  const stop = async (): Promise<void> => {
    const started = await Promise.allSettled(starts);
    await Promise.all(started.flatMap((start) => (start.status === 'fulfilled' ? [start.value.stop()] : [])));
  };
  try {
    const [rabbitmq, rabbitmqOld, toxiproxy, localemu, elasticmq] = await Promise.all(starts);
    project.provide('rabbitmq', rabbitmq.descriptor);
    project.provide('containers', {
      rabbitmqOld: rabbitmqOld.descriptor,
      toxiproxy: toxiproxy.descriptor,
      localemu: localemu.descriptor,
      elasticmq: elasticmq.descriptor,
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}
