import type { Delivery } from '../driver/driver.ts';
import type { Task } from './task.ts';

/** What a consumer holds: received, and neither settled nor lost. In the order of arrival. */
export class Holding {
  readonly tasks: Set<Task> = new Set();
  readonly #byDelivery = new Map<Delivery, Task>();

  /** Received and still being read by an asynchronous codec. */
  readonly #expected: Set<Delivery> = new Set();

  get size(): number {
    return this.tasks.size;
  }

  expect(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.#expected.add(delivery);
  }

  /** Whether it is read now and was not lost meanwhile. */
  arrived(delivery: Delivery): boolean {
    return this.#expected.delete(delivery);
  }

  add(task: Task): void {
    this.tasks.add(task);
    this.#byDelivery.set(task.delivery, task);
  }

  delete(task: Task): boolean {
    this.#byDelivery.delete(task.delivery);
    return this.tasks.delete(task);
  }

  /** The tasks of lost deliveries; those still being read will not arrive. */
  of(deliveries: readonly Delivery[]): readonly Task[] {
    for (const delivery of deliveries) this.#expected.delete(delivery);
    return deliveries.flatMap((delivery) => this.#byDelivery.get(delivery) ?? []);
  }

  /** Whatever still ends is not settled by this process any more. */
  abandon(): void {
    for (const task of this.tasks) task.lost = true;
    this.tasks.clear();
    this.#byDelivery.clear();
  }
}
