/** How long a page's own thread is busy at a time: by the processor's time, which a busy machine does not lengthen. */
import type { Page } from "puppeteer-core";

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  /** Time on the processor, in microseconds. */
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/** Number of tasks on any page's main thread during `body`, and the longest one's time on the processor. */
export async function longestTask<T>(
  page: Page,
  body: () => Promise<T>,
): Promise<{ readonly result: T; readonly ms: number; readonly tasks: number }> {
  await page.tracing.start({ categories: ["toplevel", "disabled-by-default-devtools.timeline", "devtools.timeline"] });
  const result = await body();
  const { traceEvents: events } = JSON.parse(Buffer.from((await page.tracing.stop())!).toString()) as { traceEvents: TraceEvent[] };
  const main = new Set(events.filter((e) => e.name === "thread_name" && e.args?.name === "CrRendererMain").map((e) => `${e.pid} ${e.tid}`));
  const tasks = events.filter((e) => e.ph === "X" && /RunTask$/.test(e.name) && main.has(`${e.pid} ${e.tid}`));
  return { result, ms: tasks.reduce((most, { tdur = 0 }) => Math.max(most, tdur / 1000), 0), tasks: tasks.length };
}
