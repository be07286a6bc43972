import type { Delivery } from '../driver/driver.ts';
import { Roster } from '../driver/roster.ts';
import type { Task } from './task.ts';

/** What a consumer holds: received, and neither settled nor lost. In the order of arrival. */
export class Holding {
  readonly tasks: Roster<Task> = new Roster();

  get size(): number {
    return this.tasks.size;
  }

  add(task: Task): void {
    this.tasks.add(task);
  }

  delete(task: Task): boolean {
    return this.tasks.delete(task);
  }

  /** Looked for among all: deliveries are rarely lost, and each would cost an entry. */
  of(deliveries: readonly Delivery[]): readonly Task[] {
    const wanted = new Set(deliveries);
    return [...this.tasks].filter(({ delivery }) => wanted.has(delivery));
  }

  /** Whatever still ends is not settled by this process any more. */
  abandon(): void {
    for (const task of this.tasks) task.lost = true;
    this.tasks.clear();
  }
}
