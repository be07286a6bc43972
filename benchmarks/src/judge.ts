import { brokers } from './brokers.ts';
import { ratioOf, type Report, resultOf } from './report.ts';
import type { Floor, Numbers } from './side.ts';

/** The floors of a run's broker, by what the run measured. */
export async function judge(run: Omit<Report, 'floors'>): Promise<readonly Floor[]> {
  const loaded = await brokers[run.broker]?.();
  return loaded?.broker.floors(numbersOf(run)) ?? [];
}

function numbersOf({ measures, sides }: Omit<Report, 'floors'>): Numbers {
  const peers = new Set(sides.flatMap(({ name, kind }) => (kind === 'peer' ? [name] : [])));
  return {
    ratio: (measure, than) => {
      const [ours, theirs] = [resultOf(measures, measure, 'waybill'), resultOf(measures, measure, than)];
      return ours === undefined || theirs === undefined ? undefined : ratioOf(ours, theirs);
    },
    requests: (measure) => resultOf(measures, measure, 'waybill')?.requests,
    peers: (measure) => {
      const results = measures.find(({ id }) => id === measure)?.results ?? [];
      return results.filter(({ side, unequal }) => unequal === undefined && peers.has(side)).map(({ side }) => side);
    },
  };
}
