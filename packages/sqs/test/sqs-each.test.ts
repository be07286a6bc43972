import { expect, test } from 'vitest';
import { each } from '../src/sqs-each.ts';

test('each runs all, some at a time', async () => {
  const done: number[] = [];
  let open = 0;
  let most = 0;
  await each(
    Array.from({ length: 50 }, (_, n) => n),
    async (n) => {
      most = Math.max(most, (open += 1));
      await Promise.resolve();
      open -= 1;
      done.push(n);
    },
  );
  expect(done).toHaveLength(50);
  expect(most).toBe(8);
});

test('a failure begins no more, and rejects once none runs', async () => {
  const begun: number[] = [];
  let open = 0;
  const failed = each(
    Array.from({ length: 50 }, (_, n) => n),
    async (n) => {
      begun.push(n);
      open += 1;
      await Promise.resolve();
      if (n === 1) {
        open -= 1;
        throw new Error('no');
      }
      await new Promise((resolve) => setImmediate(resolve));
      open -= 1;
    },
  );
  await expect(failed).rejects.toThrow('no');
  expect(open).toBe(0);
  expect(begun).toHaveLength(8);
});
