/** What the command line writes: text on standard output and standard error, and files that wait until all of it is printed. */
import { shown } from "../models/shown.ts";

/** Control characters of labels, file names and messages are shown instead of sent: a terminal would obey them. */
const safe = (text: string): string => text.split("\n").map(shown).join("\n");

let failure: NodeJS.ErrnoException | null = null;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") failure ??= error; // a reader that has seen enough, as `head`, is no failure
});

/** Writes to standard output. */
export function print(text: string): void {
  process.stdout.write(safe(text));
}

/** Writes a line to standard error. */
export function note(line: string): void {
  process.stderr.write(`${safe(line)}\n`);
}

const waiting: (() => Promise<void>)[] = [];

/** Defers `work` until the verb has printed its output. */
export function afterwards(work: () => Promise<void>): void {
  waiting.push(work);
}

/** Does the deferred work and waits until standard output is written. Throws if either fails. */
export async function finish(): Promise<void> {
  for (const work of waiting.splice(0)) await work();
  // Even with nothing left to write, an error event may still follow.
  await new Promise<void>((resolve) =>
    process.stdout.writableLength > 0 ? process.stdout.write("", () => resolve()) : setImmediate(resolve),
  );
  if (failure) throw new Error(`expected standard output to take the result, got ${failure.code}`);
}
