import type { Channel, Message } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { RabbitmqSession } from '../src/rabbitmq-session.ts';

type Outcome = 'accepted' | 'released' | 'rejected';

/** What RabbitMQ does with settlements: a tag that is not outstanding closes the channel. */
class Broker {
  readonly outstanding = new Set<number>();
  readonly settled = new Map<number, Outcome>();
  frames = 0;

  channel(): Channel {
    return {
      ack: ({ fields }: Message, allUpTo: boolean) => this.#settle(fields.deliveryTag, allUpTo, 'accepted'),
      nack: ({ fields }: Message, allUpTo: boolean, requeue: boolean) =>
        this.#settle(fields.deliveryTag, allUpTo, requeue ? 'released' : 'rejected'),
    } as unknown as Channel;
  }

  #settle(tag: number, allUpTo: boolean, outcome: Outcome): void {
    this.frames += 1;
    if (!this.outstanding.has(tag)) throw new Error(`unknown delivery tag ${tag}`);
    for (const each of Array.from(this.outstanding)) {
      if (each !== tag && !(allUpTo && each < tag)) continue;
      this.outstanding.delete(each);
      this.settled.set(each, outcome);
    }
  }
}

function deliver(broker: Broker, session: RabbitmqSession, deliveryTag: number) {
  broker.outstanding.add(deliveryTag);
  return session.add({
    fields: { deliveryTag, redelivered: false, exchange: '', routingKey: 'q' },
    properties: { headers: {} },
    content: Buffer.alloc(0),
  } as Message);
}

describe('settle', () => {
  test('in any order and mix, each delivery ends as it was told to, and no other', () => {
    for (let seed = 1; seed <= 40; seed += 1) {
      let state = seed * 2_654_435_761;
      const random = (below: number): number => {
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
        return state % below;
      };
      const broker = new Broker();
      const session = new RabbitmqSession(broker.channel(), 'work', 'c');
      const told = new Map<number, Outcome>();
      const held: ReturnType<typeof deliver>[] = [];
      for (let tag = 0; tag < 200 || held.length > 0;) {
        for (let arriving = random(20); arriving > 0 && tag < 200; arriving -= 1) {
          tag += 1;
          held.push(deliver(broker, session, tag));
        }
        const batch = Array.from({ length: Math.min(random(15), held.length) }, () => {
          const [delivery] = held.splice(random(Math.min(held.length, 1 + random(30))), 1) as [(typeof held)[number]];
          const outcome =
            (['accepted', 'accepted', 'accepted', 'released', 'rejected'] as const)[random(5)] ?? 'accepted';
          told.set(delivery.raw.fields.deliveryTag, outcome);
          if (outcome === 'rejected') return { delivery, action: 'reject', reason: '', headers: {} } as const;
          return { delivery, action: outcome === 'accepted' ? 'accept' : 'release' } as const;
        });
        expect(session.settle(batch)).toEqual([]);
        expect([...broker.settled].toSorted(([left], [right]) => left - right)).toEqual(
          [...told].toSorted(([left], [right]) => left - right),
        );
      }
      expect(broker.outstanding.size).toBe(0);
    }
  });

  test('a finished prefix is one frame', () => {
    const broker = new Broker();
    const session = new RabbitmqSession(broker.channel(), 'work', 'c');
    const deliveries = Array.from({ length: 100 }, (_, index) => deliver(broker, session, index + 1));
    session.settle(deliveries.map((delivery) => ({ delivery, action: 'accept' })));
    expect(broker.frames).toBe(1);
    expect(broker.outstanding.size).toBe(0);
  });

  test('what it does not hold, or not any more, is LEASE_LOST and settles nothing', () => {
    const broker = new Broker();
    const session = new RabbitmqSession(broker.channel(), 'work', 'c');
    const other = deliver(new Broker(), new RabbitmqSession(new Broker().channel(), 'work', 'd'), 1);
    const own = deliver(broker, session, 1);
    expect(session.settle([{ delivery: other, action: 'accept' }])).toMatchObject([
      { index: 0, error: { code: 'LEASE_LOST' } },
    ]);
    expect(
      session.settle([
        { delivery: own, action: 'accept' },
        { delivery: own, action: 'accept' },
      ]),
    ).toMatchObject([{ index: 1, error: { code: 'LEASE_LOST' } }]);
    expect(broker.frames).toBe(1);
  });

  test('kept on request, a released delivery stays held', () => {
    const broker = new Broker();
    const session = new RabbitmqSession(broker.channel(), 'work', 'c');
    const own = deliver(broker, session, 1);
    const kept: unknown[] = [];
    expect(session.settle([{ delivery: own, action: 'release' }], (delivery) => kept.push(delivery))).toEqual([]);
    expect([kept, session.has(own), broker.frames]).toEqual([[own], true, 0]);
  });
});
