import type { Delivery } from '../driver/driver.ts';
import type { Task } from './task.ts';

/** What a consumer holds: received, and neither settled nor lost. In the order of arrival. */
export class Holding {
  readonly tasks: Set<Task> = new Set();
  readonly #byDelivery = new Map<Delivery, Task>();

  get size(): number {
    return this.tasks.size;
  }

  add(task: Task): void {
    this.tasks.add(task);
    this.#byDelivery.set(task.delivery, task);
  }

  delete(task: Task): boolean {
    this.#byDelivery.delete(task.delivery);
    return this.tasks.delete(task);
  }

  of(deliveries: readonly Delivery[]): readonly Task[] {
    return deliveries.flatMap((delivery) => this.#byDelivery.get(delivery) ?? []);
  }

  /** Whatever still ends is not settled by this process any more. */
  abandon(): void {
    for (const task of this.tasks) task.lost = true;
    this.tasks.clear();
    this.#byDelivery.clear();
  }
}
