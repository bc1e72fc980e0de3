/** A value in force (the device, the recording, whether there is a tape) that a synchronous call can replace for as long as it runs. */
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
