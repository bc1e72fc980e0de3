/** Updates whose numbers are still on their way back from the GPU. */

/** Updates that may be on their way before the next is submitted. More would only let the queue grow. */
const MOST = 1;

export class InFlight {
  readonly #pending: Promise<void>[] = [];

  /** `then` is called with the result, after those of earlier updates. A failure is kept for whoever waits: it is never unhandled. */
  push<T>(result: Promise<T>, then: (result: T) => void): void {
    const told = Promise.all([result, this.#pending.at(-1)]).then(([value]) => then(value));
    told.catch(() => undefined);
    this.#pending.push(told);
  }

  /** Waits until few enough are on their way. Rejects with the first failure. */
  async throttle(): Promise<void> {
    while (this.#pending.length > MOST) await this.#pending.shift();
  }

  /** Waits for all. Rejects with the first failure. */
  async drain(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
  }

  /** Waits for all, whatever they come to: after a failure, those behind it fail of the same cause. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#pending.splice(0));
  }
}
