// A process of its own for one round of one measure on one side.
import { brokers } from './brokers.ts';
import type { Assignment } from './child.ts';
import { runMeasure } from './run-measure.ts';

process.once('message', (assignment: Assignment) => void work(assignment));

async function work({ broker: name, side: sideName, ...task }: Assignment): Promise<void> {
  try {
    const { broker } = (await brokers[name]?.()) ?? {};
    const { side } = (await broker?.sides[sideName]?.()) ?? {};
    if (side === undefined) throw new Error(`There is no ${sideName} on ${name}.`);
    const result = await runMeasure({ side, ...task });
    process.send?.({ result }, () => process.exit(0));
  } catch (error) {
    process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }, () =>
      process.exit(1),
    );
  }
}
