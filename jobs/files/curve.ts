/** A curve of any length reduced to a few points, for the progress line of every step. */

/** Number of points at which neighbouring pairs are merged. */
const POINTS = 64;

export class Curve {
  #points: number[] = [];
  /** Values per point. */
  #each = 1;
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    if (++this.#count < this.#each) return;
    this.#points.push(this.#sum / this.#each);
    [this.#sum, this.#count] = [0, 0];
    if (this.#points.length < POINTS) return;
    this.#points = Array.from({ length: POINTS / 2 }, (_, i) => (this.#points[2 * i]! + this.#points[2 * i + 1]!) / 2);
    this.#each *= 2;
  }

  /** Points, each the mean of the same number of neighbouring values; the newest values may be missing. */
  get points(): readonly number[] {
    return this.#points;
  }
}
