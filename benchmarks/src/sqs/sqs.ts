import { atLeast } from '../floors.ts';
import type { MeasureId } from '../measures.ts';
import type { Broker, Floor, Numbers } from '../side.ts';

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
  floors: (numbers) => [
    ...atLeast(numbers, 0.95, { measure: 'publish', than: '@aws-sdk/client-sqs' }),
    ...numbers.peers('publish').flatMap((than) => atLeast(numbers, 1, { measure: 'publish', than })),
    ...fewRequests(numbers, 'publish'),
    ...atLeast(numbers, 0.95, { measure: 'consume', than: '@aws-sdk/client-sqs' }),
    ...atLeast(numbers, 1.8, { measure: 'consume', than: 'sqs-consumer x4' }),
    ...numbers.peers('consume').flatMap((than) => atLeast(numbers, 1, { measure: 'consume', than })),
    ...fewRequests(numbers, 'consume'),
  ],
};

/** What is paid for. */
function fewRequests(numbers: Numbers, measure: MeasureId): readonly Floor[] {
  const measured = numbers.requests(measure);
  if (measured === undefined) return [];
  const text = `${measure}: at most ${MOST_REQUESTS} requests a message`;
  return [{ text, measured, floor: MOST_REQUESTS, holds: measured <= MOST_REQUESTS }];
}
