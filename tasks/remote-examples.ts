/** Examples that the page makes and its worker learns from. */
import type { Example } from "./api.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** They come one by one, as the page makes them; null is the end. */
export interface RemoteExamples {
  next(): Promise<Example | null>;
}

/** The examples in the worker. An aborted `signal` ends the waiting for the next one, which a page that has gone will never send. */
export async function* receivedExamples(examples: RemoteExamples, signal: AbortSignal): AsyncGenerator<Example> {
  const next = () => unlessAborted(examples.next(), signal);
  for (let example = await next(); example; example = await next()) yield example;
}
