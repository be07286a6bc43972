import { desk, Noted } from '../contracts.ts';
import type { Scenario } from '../scenario.ts';

export const stored: readonly Scenario[] = [
  {
    id: 'stored-before-resolve',
    guarantee: 'stored',
    sentence: 'publish resolves only after the broker stored the message',
    needs: ['admin'],
    deadlineMs: 10_000,
    quick: true,
    async run(kit) {
      const bus = kit.bus();
      await bus.provision();
      const ids = Array.from({ length: 50 }, (_, index) => `note-${index}`);
      await Promise.all(ids.map((id, n) => bus.publish(Noted, { n }, { id })));
      const { ready } = await kit.eventually('depth tells', () => bus.depth(desk));
      kit.same(ready, 50, 'every resolved publish is in the queue at once');
    },
  },
];
