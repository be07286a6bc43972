import type { ContainerControl } from './container.ts';
import { type SqsCredentials, sqsRegion } from './sqs-server.ts';

/** With enforcement on, the root user's key: AWS's documented example. The server looks at the id only. */
export const localemuRoot: SqsCredentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};

export const localemuPort = 4566;

const python = '/opt/code/localemu/.venv/bin/python';
const data = '/var/lib/localemu';

/**
 * Starts the server. With what is on disk it would also write every hundredth request's history of the last 10,000
 * requests, which makes it slow: a folder stands where it would put the file.
 */
export const localemuEntrypoint: readonly string[] = [
  'sh',
  '-c',
  `mkdir -p ${data}/state/cloudtrail_events.json.tmp && chown -R localemu ${data} && exec docker-entrypoint.sh`,
];

export const localemuEnvironment: Readonly<Record<string, string>> = {
  SERVICES: 'sqs,sns,events,iam,sts',
  EAGER_SERVICE_LOADING: '1',
  DISABLE_EVENTS: '1',
  SKIP_SSL_CERT_DOWNLOAD: '1',
  IAM_ENFORCEMENT: '1',
  PERSISTENCE: '1',
  SQS_ENABLE_MESSAGE_RETENTION_PERIOD: '1',
  SQS_DISABLE_CLOUDWATCH_METRICS: '1',
};

// SNS delivers after it has answered and keeps what it has not delivered in memory only. So once the number of stored
// messages has not moved for a second it has delivered all.
const saveScript = `
import json, sys, time, urllib.request

def post(path, headers, body):
    request = urllib.request.Request('http://127.0.0.1:${localemuPort}' + path, body, headers, method='POST')
    return json.load(urllib.request.urlopen(request, timeout=30))

def ask(action, **body):
    return post('/', {
        'X-Amz-Target': 'AmazonSQS.' + action,
        'X-Amz-Date': time.strftime('%Y%m%dT%H%M%SZ', time.gmtime()),
        'Content-Type': 'application/x-amz-json-1.0',
        'Authorization': 'AWS4-HMAC-SHA256 Credential=${localemuRoot.accessKeyId}/'
            + time.strftime('%Y%m%d', time.gmtime())
            + '/${sqsRegion}/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature=0',
    }, json.dumps(body).encode())

counts = ['ApproximateNumberOfMessages' + kind for kind in ('', 'NotVisible', 'Delayed')]

def stored():
    urls = ask('ListQueues').get('QueueUrls', [])
    answers = [ask('GetQueueAttributes', QueueUrl=url, AttributeNames=counts) for url in urls]
    return [sum(map(int, answer['Attributes'].values())) for answer in answers]

deadline = time.monotonic() + 40
last, since = stored(), time.monotonic()
while time.monotonic() - since < 1:
    if time.monotonic() > deadline:
        sys.exit('The queues do not come to rest.')
    time.sleep(0.1)
    seen = stored()
    if seen != last:
        last, since = seen, time.monotonic()
saved = post('/_localemu/state/save', {}, b'')
missing = {'sqs', 'sns', 'iam.moto'} - set(saved.get('services', []))
if missing:
    sys.exit('Not saved: ' + ', '.join(sorted(missing)) + ' ' + json.dumps(saved.get('errors')))
`;

/** Resolves once SNS has delivered everything and all is on disk. Nobody may send meanwhile. */
export async function saveLocalemu(control: ContainerControl): Promise<void> {
  await control.exec([python, '-c', saveScript]);
}
