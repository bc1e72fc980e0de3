/** A stop that is asked for while a job loads, before it has anything to save. */
import type { Host } from "./host.ts";

export class StoppedError extends Error {
  override readonly name = "StoppedError";
}

/** How often the host is asked. */
const EVERY_MS = 100;

/**
 * The outcome of `loading`, or a `StoppedError` soon after a stop was asked for. A host notices signals from its first `stopAsked` on, which
 * is here.
 */
export async function unlessStopped<T>(host: Host, loading: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setInterval> | undefined;
  const stopped = new Promise<never>((_, reject) => {
    const ask = (): void => {
      if (host.stopAsked()) reject(new StoppedError("stopped while data and weights were loaded; nothing was changed"));
    };
    timer = setInterval(ask, EVERY_MS);
    ask();
  });
  try {
    return await Promise.race([loading, stopped]);
  } finally {
    clearInterval(timer);
  }
}
