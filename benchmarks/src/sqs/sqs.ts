import { atLeast } from '../floors.ts';
import type { MeasureId } from '../measures.ts';
import type { Broker, Floor, Medians } from '../side.ts';

export interface SqsPlace {
  /** Through a proxy that makes each request 10 ms longer, as a service in the same region is. */
  readonly endpoint: string;
  /** Without it, for what is not measured. */
  readonly direct: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

const MOST_REQUESTS = 0.25;

// What only the process that compares needs is loaded there: it would count as memory of each side.
// NestJS has no transport for SQS.
export const broker: Broker<SqsPlace> = {
  name: 'sqs',
  title: 'Amazon SQS',
  messages: 3_000,
  // Ten go with a request, and the client takes a core until it is compiled.
  warmUp: 9_000,
  sides: {
    '@aws-sdk/client-sqs': () => import('./aws-sdk.ts'),
    waybill: () => import('./waybill.ts'),
    'sqs-producer with sqs-consumer': () => import('./bbc.ts'),
    'sqs-consumer x4': () => import('./bbc-four.ts'),
    '@message-queue-toolkit/sqs': () => import('./message-queue-toolkit.ts'),
  },
  start: async (progress) => (await import('./grounds.ts')).start(progress),
  grounds: async (place) => (await import('./grounds.ts')).grounds(place),
  floors: (median, peers) =>
    [
      atLeast(0.95, { measure: 'publish', than: '@aws-sdk/client-sqs', median }),
      ...peers('publish').map((than) => atLeast(1, { measure: 'publish', than, median })),
      fewRequests('publish', median),
      atLeast(0.95, { measure: 'consume', than: '@aws-sdk/client-sqs', median }),
      atLeast(1.8, { measure: 'consume', than: 'sqs-consumer x4', median }),
      ...peers('consume').map((than) => atLeast(1, { measure: 'consume', than, median })),
      fewRequests('consume', median),
    ].filter((floor) => floor !== undefined),
};

/** What is paid for. */
function fewRequests(measure: MeasureId, median: Medians): Floor | undefined {
  const measured = median(measure, 'waybill', 'requests');
  if (measured === undefined) return undefined;
  const text = `${measure}: at most ${MOST_REQUESTS} requests a message`;
  return { text, measured, floor: MOST_REQUESTS, holds: measured <= MOST_REQUESTS };
}
