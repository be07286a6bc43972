import { describe, expect, it } from 'vitest';
import { fakeTime } from '../src/index.ts';

describe('fakeTime', () => {
  it('stands still until it is advanced', async () => {
    const time = fakeTime(1_000);
    expect(time.now()).toBe(1_000);
    await time.advance(250);
    expect(time.now()).toBe(1_250);
  });

  it('runs what is due in order, each at its own time', async () => {
    const time = fakeTime(0);
    const seen: string[] = [];
    for (const ms of [30, 10, 20, 10, 41]) time.after(ms, () => seen.push(`${ms}@${time.now()}`));
    await time.advance(40);
    expect(seen).toEqual(['10@10', '10@10', '20@20', '30@30']);
  });

  it('lets promise continuations run between timers, and what they set be due', async () => {
    const time = fakeTime(0);
    const seen: string[] = [];
    const wait = (ms: number): Promise<void> => new Promise((resolve) => void time.after(ms, resolve));
    const chain = async (): Promise<void> => {
      for (let turn = 0; turn < 3; turn++) {
        await wait(10);
        seen.push(`chain@${time.now()}`);
      }
    };
    void chain();
    time.after(15, () => seen.push(`timer@${time.now()}`));
    await time.advance(30);
    expect(seen).toEqual(['chain@10', 'timer@15', 'chain@20', 'chain@30']);
  });

  it('forgets what is cancelled', async () => {
    const time = fakeTime(0);
    let ran = false;
    time.after(10, () => (ran = true))();
    await time.advance(20);
    expect(ran).toBe(false);
  });

  it('refuses to go back', async () => {
    await expect(fakeTime().advance(-1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
