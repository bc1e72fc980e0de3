/** A value that holds for all that a synchronous call does, and may be another inside of it. */
export class Ambient<T> {
  now: T;

  constructor(outside: T) {
    this.now = outside;
  }

  /** Runs `body` with `value` in place of what is there. */
  during<R>(value: T, body: () => R): R {
    const before = this.now;
    this.now = value;
    try {
      return body();
    } finally {
      this.now = before;
    }
  }
}
