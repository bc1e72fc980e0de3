/** Calls once a worker has said nothing for so long as it was given. */
export class Silence {
  readonly #call: (ms: number) => void;
  #timer = 0;

  constructor(call: (ms: number) => void) {
    this.#call = call;
  }

  /** From now on. */
  allow(ms: number): void {
    this.end();
    this.#timer = window.setTimeout(() => this.#call(ms), ms);
  }

  /** The same, where it is waited for at all. */
  extend(ms: number): void {
    if (this.#timer !== 0) this.allow(ms);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }
}
