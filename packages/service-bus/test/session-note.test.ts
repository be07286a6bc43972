import { describe, expect, test } from 'vitest';
import { SessionNote } from '../src/session-note.ts';

/** A session whose state outlives its holders. */
class Session {
  state: unknown;
  /** One holder after the other. */
  hold(): SessionNote {
    const receiver = {
      getSessionState: async () => this.state,
      setSessionState: async (state: unknown) => void (this.state = state),
    };
    const life = { timeoutMs: 1, answered: (work: Promise<unknown>) => work };
    return new SessionNote(life as never, receiver as never);
  }
}

describe('the note in a session', () => {
  test('counts holders that died with the same first message', async () => {
    const session = new Session();
    const counts: number[] = [];
    for (let death = 0; death < 3; death += 1) counts.push(await session.hold().enter('7', 0));
    expect(counts).toEqual([0, 1, 2]);
    expect(await session.hold().enter('8', 0)).toBe(0);
  });

  test('leaves alone what the broker has counted', async () => {
    const session = new Session();
    await session.hold().enter('7', 0);
    expect(await session.hold().enter('7', 1)).toBe(0);
    expect(await session.hold().enter('7', 1)).toBe(1);
  });

  test('a holder that lets go in order counts nothing, and keeps what was counted', async () => {
    const session = new Session();
    await session.hold().enter('7', 0);
    await session.hold().enter('7', 0);
    const tidy = session.hold();
    expect(await tidy.enter('7', 0)).toBe(2);
    await tidy.leave(true);
    expect(await session.hold().enter('7', 0)).toBe(2);
  });

  test('an empty session keeps no state', async () => {
    const session = new Session();
    const note = session.hold();
    await note.enter('7', 0);
    await note.leave(false);
    expect(session.state).toEqual(Buffer.alloc(0));
    expect(await session.hold().enter('7', 0)).toBe(0);
  });

  test('the state of another program is left alone', async () => {
    const session = new Session();
    session.state = { theirs: true };
    const note = session.hold();
    expect(await note.enter('7', 0)).toBe(0);
    await note.leave(true);
    expect(session.state).toEqual({ theirs: true });
  });
});
