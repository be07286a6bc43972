import { type DeadLetter, Reject } from '@waybill/core';
import { desk, Noted, Work } from '../contracts.ts';
import type { Kit } from '../kit.ts';
import type { Scenario } from '../scenario.ts';
import {
  digest,
  LARGEST_BOOKKEEPING,
  largestText,
  lettersOnceThere,
  LONG_ERROR,
  outlined,
} from './dead-letter-helpers.ts';
import { allHandled, noteId, publishNotes, range } from './retry-helpers.ts';

export const deadLetter: readonly Scenario[] = [
  {
    id: 'dead-letter-record',
    guarantee: 'dead-letter',
    sentence:
      'a dead letter tells reason, error, attempts, times, queue and topic, and its source is settled only after it is stored',
    needs: ['delay'],
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      const failedAt: number[] = [];
      const fail = ({ n }: { n: number }): void => {
        failedAt.push(Date.now());
        throw new TypeError(`no use for ${n}`);
      };
      await bus.consume(
        desk,
        { 'conformance.noted': fail, 'conformance.work': fail },
        { retry: { delaysMs: [300, 300] } },
      );
      await bus.publish(Noted, { n: 1, text: 'näher' }, { id: 'published', correlationId: 'story' });
      const [published] = await lettersOnceThere(kit, bus, desk, { count: 1, withinMs: 15_000 });
      const expected = [
        'handler-failed',
        3,
        'desk',
        'notes',
        0,
        'TypeError',
        'no use for 1',
        'story',
        { n: 1, text: 'näher' },
      ];
      kit.same(described(published), expected, 'the letter says what it is and why', ['published']);
      kit.check(published?.error?.stack?.includes('no use for 1') === true, 'its error has a stack', ['published']);
      timesFit(kit, published, failedAt);
      await bus.send(desk, Work, { n: 2 }, { id: 'sent' });
      const both = await lettersOnceThere(kit, bus, desk, { count: 2, withinMs: 15_000 });
      const sent = both.find(({ id }) => id === 'sent');
      const origin = [sent?.queue, sent?.topic, sent?.attempts];
      kit.same(origin, ['desk', undefined, 3], 'what was sent to the queue came from no topic', ['sent']);
      await storedFirst(kit, ['published', 'sent']);
    },
  },
  {
    id: 'dead-letter-reasons',
    guarantee: 'dead-letter',
    sentence: 'Reject gives a message up at its first attempt, a handler that overran or failed at its last',
    needs: ['delay'],
    deadlineMs: 30_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      await kit.worker({
        queue: 'desk',
        rules: [
          { only: [1], then: 'fail' },
          { only: [2], then: 'reject', error: 'no such order' },
          { only: [3], then: 'hang' },
          { only: [4], attempts: [1], then: 'fail' },
        ],
        options: { retry: { delaysMs: [100] }, timeoutMs: 800 },
      });
      await publishNotes(bus, range(0, 5));
      const letters = await lettersOnceThere(kit, bus, desk, { count: 3, withinMs: 20_000 });
      await allHandled(kit, [0, 4], 10_000);
      kit.same(
        outlined(letters),
        [
          [noteId(1), 'handler-failed', 2],
          [noteId(2), 'rejected', 1],
          [noteId(3), 'timed-out', 2],
        ],
        'each has its reason',
        range(1, 4).map(noteId),
      );
      kit.same(
        letters.find(({ id }) => id === noteId(2))?.error?.message,
        'no such order',
        'the reason given to Reject is the error of the letter',
        [noteId(2)],
      );
    },
  },
  {
    id: 'dead-letter-skip',
    guarantee: 'dead-letter',
    sentence: 'a reason named in `skip` drops the message; every other one keeps it',
    deadlineMs: 20_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      const handle = ({ n }: { n: number }): void => {
        if (n % 2 === 0) throw new Reject('dropped');
        throw new Error('kept');
      };
      await bus.consume(
        desk,
        { 'conformance.noted': handle, 'conformance.work': handle },
        { skip: ['rejected'], retry: { delaysMs: [] } },
      );
      await publishNotes(bus, range(0, 10));
      const letters = await lettersOnceThere(kit, bus, desk, { count: 5, withinMs: 10_000 });
      kit.same(
        letters.map(({ id }) => id).toSorted(),
        [1, 3, 5, 7, 9].map(noteId),
        'what failed is kept',
        range(0, 10).map(noteId),
      );
      const skipped = (): number =>
        kit.events.filter((event) => event.name === 'skipped' && event.reason === 'rejected').length;
      await kit.eventually('the others are reported as skipped', () => skipped() === 5);
      kit.same((await kit.letters(bus, desk)).length, 5, 'what was rejected is no dead letter');
    },
  },
  {
    id: 'dead-letter-largest',
    guarantee: 'dead-letter',
    sentence:
      'the largest message that publish accepts fits the dead lane with its bookkeeping, whatever text its error has',
    needs: ['delay'],
    deadlineMs: 60_000,
    quick: true,
    async run(kit: Kit) {
      const bus = kit.bus();
      const digests = new Map<string, string>();
      await bus.consume(
        desk,
        {
          'conformance.work': () => undefined,
          'conformance.noted': (_, { metadata, attempt, delivery }) => {
            digests.set(`${metadata.id}/${attempt}`, digest(delivery.body));
            throw new Error(LONG_ERROR);
          },
        },
        { retry: { delaysMs: [100] } },
      );
      await bus.publish(Noted, { n: 0, text: await largestText(kit, bus, 0, noteId(0)) }, { id: noteId(0) });
      await publishNotes(bus, [1]);
      for (const letter of await lettersOnceThere(kit, bus, desk, { count: 2, withinMs: 30_000 })) {
        const { id, reason, attempts, delivery, error } = letter;
        kit.same([reason, attempts], ['handler-failed', 2], 'it was retried and given up', [id]);
        const sources = [1, 2].map((attempt) => digests.get(`${id}/${attempt}`));
        kit.same(
          sources,
          Array.from({ length: 2 }, () => digest(delivery.body)),
          'its bytes are those of every attempt',
          [id],
        );
        bookkeepingFits(kit, letter);
        const text = error?.message ?? '';
        kit.check(
          text.length > 50 && LONG_ERROR.startsWith(text.slice(0, -1)),
          `the beginning of its error is kept: ${text.length} characters`,
          [id],
        );
      }
    },
  },
];

function described(letter: DeadLetter | undefined): readonly unknown[] {
  const { reason, attempts, queue, topic, redrives, error, message } = letter ?? {};
  const { name, message: text } = error ?? {};
  return [reason, attempts, queue, topic, redrives, name, text, message?.metadata.correlationId, message?.data];
}

function timesFit(kit: Kit, letter: DeadLetter | undefined, failedAt: readonly number[]): void {
  const { id = '', firstFailedAt = 0, deadAt = 0 } = letter ?? {};
  const [first = 0, last = 0] = [failedAt[0], failedAt.at(-1)];
  const fits = Math.abs(firstFailedAt - first) < 250 && deadAt >= last && deadAt <= Date.now();
  kit.check(fits, `it tells when: first ${firstFailedAt} (${first}), dead ${deadAt} (${last})`, [id]);
}

export function bookkeepingFits(kit: Kit, letter: DeadLetter | undefined, least = 1): void {
  const bytes = Buffer.byteLength(letter?.delivery.headers['waybill'] ?? '');
  kit.check(
    bytes >= least && bytes <= LARGEST_BOOKKEEPING,
    `the bookkeeping of a letter has ${least} to ${LARGEST_BOOKKEEPING} bytes: ${bytes}`,
    letter === undefined ? [] : [letter.id],
  );
}

/** Where the letter is a copy, its source is accepted behind it. */
async function storedFirst(kit: Kit, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const inOrder = (): boolean => {
      const own = kit.history.entries.filter((entry) => entry.id === id);
      const stored = own.findIndex(({ what, detail }) => what === 'stored' && detail === `${id}#d`);
      const settled = own.findLastIndex(({ what }) => what === 'accepted' || what === 'rejected');
      return own[settled]?.what === 'rejected' || (stored >= 0 && settled > stored);
    };
    await kit.eventually('its source is settled', inOrder, 5_000).catch(() => undefined);
    kit.check(inOrder(), 'the source is settled after the letter is stored', [id]);
  }
}
