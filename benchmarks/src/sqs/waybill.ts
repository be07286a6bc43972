import type { Side } from '../side.ts';
import { waybillSide } from '../waybill-side.ts';
import { POLL_SECONDS } from './client.ts';
import type { SqsPlace } from './sqs.ts';

export const side: Side<SqsPlace> = waybillSide(['@waybill/sqs', '@aws-sdk/client-sqs'], async (descriptor) => {
  const { sqs } = await import('@waybill/sqs');
  const { endpoint, region, credentials } = descriptor;
  return sqs({ endpoint, region, credentials, topics: false, pollSeconds: POLL_SECONDS });
});
