export interface Gathering<T> {
  /** Of one call. */
  readonly size: number;
  /** Calls that are open at once. */
  readonly open: number;
  readonly store: (items: readonly T[]) => Promise<unknown>;
}

interface Waiting<T> {
  readonly item: T;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** By hand, what makes raw clients fast: what is handed over one by one in a turn goes in calls of many. */
export function gathered<T>({ size, open: most, store }: Gathering<T>): (item: T) => Promise<void> {
  const waiting: Waiting<T>[] = [];
  let open = 0;
  let scheduled = false;
  const call = async (taken: readonly Waiting<T>[]): Promise<void> => {
    open += 1;
    try {
      await store(taken.map(({ item }) => item));
      for (const { resolve } of taken) resolve();
    } catch (error) {
      for (const { reject } of taken) reject(error);
    }
    open -= 1;
    later();
  };
  const flush = (): void => {
    scheduled = false;
    while (open < most && waiting.length > 0) void call(waiting.splice(0, size));
  };
  /** Not before all that the end of a call resolves has had its turn. */
  const later = (): void => {
    if (scheduled || open >= most || waiting.length === 0) return;
    scheduled = true;
    process.nextTick(flush);
  };
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      later();
    });
}
