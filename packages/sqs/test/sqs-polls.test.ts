import { describe, expect, test } from 'vitest';
import { PollPace } from '../src/sqs-poll-pace.ts';
import { SqsPolls } from '../src/sqs-polls.ts';

interface Poll {
  readonly max: number;
  readonly answer: (items: readonly number[]) => void;
  readonly fail: (error: Error) => void;
}

function makePolls(pace = new PollPace()) {
  const open: Poll[] = [];
  const answers: (readonly number[])[] = [];
  const failures: unknown[] = [];
  const polls = new SqsPolls<number>({
    poll: (max) =>
      new Promise((resolve, reject) => {
        open.push({ max, answer: resolve, fail: reject });
      }),
    pace,
    onAnswer: (items) => answers.push(items),
    onFailure: (error) => failures.push(error),
  });
  const answerNext = async (count: number): Promise<void> => {
    open.shift()?.answer(Array.from({ length: count }, (_, index) => index));
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { polls, open, answers, failures, answerNext };
}

describe('pace', () => {
  test('full answers open more polls, partly filled ones fewer but two, an empty one leaves one', () => {
    const pace = new PollPace(6);
    const after = (asked: number, brought: number): number => {
      pace.answered(asked, brought);
      return pace.allowed;
    };
    expect(pace.allowed).toBe(1);
    expect([after(1, 1), after(10, 10), after(10, 10), after(10, 9), after(10, 10)]).toEqual([2, 4, 6, 5, 6]);
    expect([after(10, 3), after(10, 3), after(10, 3), after(10, 3), after(10, 3)]).toEqual([5, 4, 3, 2, 2]);
    expect([after(10, 0), after(10, 3)]).toEqual([1, 2]);
  });

  test('where one is allowed, no answer opens another', () => {
    const pace = new PollPace(1);
    for (const brought of [10, 3, 0, 3]) {
      pace.answered(10, brought);
      expect(pace.allowed).toBe(1);
    }
  });
});

describe('polls', () => {
  test('one is open while the queue is idle, for no more than there is room for', async () => {
    const { polls, open, answerNext } = makePolls();
    polls.ask(4, false);
    polls.ask(40, false);
    expect(open.map(({ max }) => max)).toEqual([4]);
    await answerNext(0);
    polls.ask(40, false);
    expect(open.map(({ max }) => max)).toEqual([10]);
  });

  test('together they ask for the room and no more', async () => {
    const { polls, open, answerNext } = makePolls();
    polls.ask(10, false);
    await answerNext(10);
    polls.ask(13, false);
    expect(open.map(({ max }) => max)).toEqual([10, 3]);
    polls.ask(13, false);
    expect(open).toHaveLength(2);
    expect(polls.asked).toBe(13);
  });

  test('a consumer that comes back at once is brought ten all the same', async () => {
    const { polls, open, answerNext } = makePolls();
    polls.ask(10, false);
    await answerNext(10);
    polls.ask(13, true);
    expect(open.map(({ max }) => max)).toEqual([10, 10]);
    polls.ask(13, true);
    expect(open).toHaveLength(2);
  });

  test('a failed one is told, leaves its room to the next, and opens none by itself', async () => {
    const { polls, open, failures } = makePolls();
    polls.ask(5, false);
    open.shift()?.fail(new Error('no'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(failures).toEqual([new Error('no')]);
    expect(open).toHaveLength(0);
    polls.ask(5, false);
    expect(open.map(({ max }) => max)).toEqual([5]);
  });

  test('close waits for open ones, takes their answers and opens no more', async () => {
    const { polls, open, answers, answerNext } = makePolls();
    polls.ask(10, false);
    const closing = polls.close(Date.now() + 5_000);
    await answerNext(3);
    await closing;
    expect(answers).toEqual([[0, 1, 2]]);
    polls.ask(10, false);
    expect(open).toHaveLength(0);
  });

  test('close leaves at its deadline what is open still, takes its answer and tells no failure of it', async () => {
    const { polls, open, answers, failures, answerNext } = makePolls(new PollPace(2));
    polls.ask(10, false);
    await answerNext(10);
    polls.ask(20, false);
    expect(await polls.close(Date.now() + 20)).toBe(false);
    await answerNext(2);
    open.shift()?.fail(new Error('the connection is gone'));
    await new Promise((resolve) => setImmediate(resolve));
    expect([answers.length, failures]).toEqual([2, []]);
  });
});
