/** How long the tasks of a page's own thread take, by the processor's time: what a busy machine does not lengthen. */
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

export interface Tasks {
  readonly tasks: number;
  /** The longest one's. */
  readonly ms: number;
}

/** Watches the main threads of the browser's pages from now on, until what it returns is called. */
export async function traceTasks(page: Page): Promise<() => Promise<Tasks>> {
  await page.tracing.start({ categories: ["toplevel"] });
  return async () => {
    const { traceEvents } = JSON.parse(Buffer.from((await page.tracing.stop())!).toString()) as { traceEvents: TraceEvent[] };
    const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;
    const main = new Set(traceEvents.filter((e) => e.name === "thread_name" && e.args?.name === "CrRendererMain").map(threadOf));
    const tasks = traceEvents.filter((e) => e.ph === "X" && /RunTask$/.test(e.name) && main.has(threadOf(e)));
    return { tasks: tasks.length, ms: Math.max(...tasks.map(({ tdur = 0 }) => tdur / 1000)) };
  };
}
