import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { type BrokerName, brokerNames, isBrokerName } from './brokers.ts';

export interface Options {
  readonly broker: BrokerName;
  readonly url: string | undefined;
  readonly input: string;
}

const BUNDLED = fileURLToPath(new URL('../../examples/orders/orders.jsonl', import.meta.url));
const HELP = `Publishes orders, handles them twice (billing, mailer), and accounts for every one.

  npm run demo                                500 bundled orders, on a broker inside this process
  npm run demo -- --broker rabbitmq           the same on a RabbitMQ that is started for it
  npm run demo -- --broker rabbitmq --url amqp://user:password@host:5672
  npm run demo -- --broker kafka              … or on a Kafka; one that runs: --url host:9092,host:9093
  npm run demo -- --broker sqs                … or on SQS and SNS: of a LocalEmu that is started for it, or of
                                              AWS (--url eu-central-1) or another server (--url http://host:4566)
  npm run demo -- --broker service-bus        … or on a stand-in for Azure Service Bus; on the real one:
                                              --url 'Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…'
  npm run demo -- --input FILE                orders of your own, a JSON object a line:
                                              {"version":2,"order":{"orderId":"…", …}}, see docs/examples/orders/

  --broker ${brokerNames.join('|')}   default memory
  --url URL                  a broker that runs already; without it one is started
  --input FILE               default docs/examples/orders/orders.jsonl
  --help
`;

/** Undefined after printing the help. Throws one sentence for what makes no sense. */
export function readOptions(args: readonly string[]): Options | undefined {
  const { broker, url, input, help } = parse(args);
  if (help) {
    process.stdout.write(HELP);
    return undefined;
  }
  if (!isBrokerName(broker)) {
    throw new Error(`There is no broker "${broker}" here: --broker takes ${brokerNames.join(', ')}.`);
  }
  if (url !== undefined && broker === 'memory') {
    throw new Error('--url needs a broker to go with it: --broker rabbitmq, kafka, sqs or service-bus.');
  }
  return { broker, url, input };
}

interface Values {
  readonly broker: string;
  readonly url?: string;
  readonly input: string;
  readonly help: boolean;
}

function parse(args: readonly string[]): Values {
  try {
    return parseArgs({
      args: [...args],
      options: {
        broker: { type: 'string', default: 'memory' },
        url: { type: 'string' },
        input: { type: 'string', default: BUNDLED },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/\. |\n/);
    throw new Error(`${sentence.replace(/\.$/, '')}: --help shows what there is.`, { cause: error });
  }
}
