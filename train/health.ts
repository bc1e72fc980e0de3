/** Detects a run that no longer learns: the GPU skips updates whose gradients are not finite, and this counts them. */

/** Skipped updates in a row that end a run. */
const MOST_IN_A_ROW = 20;

export class Health {
  #made = 0;
  #skipped = 0;
  #inARow = 0;

  note({ finite }: { readonly finite: boolean }): void {
    this.#made += finite ? 1 : 0;
    this.#skipped += finite ? 0 : 1;
    this.#inARow = finite ? 0 : this.#inARow + 1;
  }

  /** Throws if too many updates in a row were skipped. */
  check(step: number): void {
    if (this.#inARow < MOST_IN_A_ROW) return;
    throw new Error(
      `train: expected finite gradients, got ${this.#inARow} updates in a row without (step ${step}); the last good checkpoint stands`,
    );
  }

  /** Throws if a finished run made no update, so that its weights are still the initial ones. */
  checkFinished(): void {
    if (this.#made > 0 || this.#skipped === 0) return;
    throw new Error(
      `train: expected an update with finite gradients, got ${this.#skipped} updates and all of them skipped; the weights are those at the start`,
    );
  }
}
