/** Updates whose numbers have not arrived from the GPU yet. */

/** Most updates in flight. More would only make the queue longer. */
const IN_FLIGHT = 1;

export class InFlight {
  readonly #pending: Promise<void>[] = [];

  /** Calls `then` with the result, in the order of updates. A failure is kept and thrown by the next wait, so that it is never unhandled. */
  push<T>(result: Promise<T>, then: (result: T) => void): void {
    const told = Promise.all([result, this.#pending.at(-1)]).then(([value]) => then(value));
    told.catch(() => undefined);
    this.#pending.push(told);
  }

  /** Waits until another update may be submitted. Rejects with the first failure. */
  async throttle(): Promise<void> {
    while (this.#pending.length > IN_FLIGHT) await this.#pending.shift();
  }

  /** Waits for all. Rejects with the first failure. */
  async drain(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
  }

  /** Waits for all and ignores their failures: after one failure, the later ones have the same cause. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#pending.splice(0));
  }
}
