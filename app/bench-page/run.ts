/**
 * One run of the benchmark in this page. It happens in a frame; when the frame's device is lost, what was measured is kept,
 * the frame is thrown away with everything that hung on the device, the rivals' own devices too, and another one goes on.
 */
import { mergeResults, sourceOf, type ResultFile } from "../../bench/result-file.ts";
import type { Measured } from "../../bench/run.ts";
import { resultOf, type BenchArgs, type BenchHead } from "../../bench/session.ts";
import type { AdapterDescription } from "../../engine/device.ts";
import { count } from "../bench-report/dom.ts";
import { browser, openFrame, type OpenFrame } from "./open-frame.ts";

/** Progress of a run. `secondsLeft` is set once a case is done. */
export interface Stage {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly note?: string;
  readonly secondsLeft?: number;
}

export interface Listener {
  opened(adapter: AdapterDescription): void;
  stage(stage: Stage): void;
  measured(m: Measured): void;
  /** A note for the reader of the result, for example a lost device. */
  said(message: string): void;
}

/** The run ends with the cases measured so far after this number of lost devices. */
const MOST_LOST = 3;

/**
 * Measures the chosen cases; `null` if none was measured. Rejects if the browser has no device or no case is chosen. `signal` stops at once
 * and keeps the cases measured so far.
 */
export async function run(args: BenchArgs, listener: Listener, signal: AbortSignal): Promise<ResultFile | null> {
  let result: ResultFile | null = null,
    names: readonly string[] | undefined;
  for (let lost = 0; ; ) {
    const part = await inFrame({ ...args, names }, listener, signal, result);
    if (part.result) result = result ? mergeResults([result, part.result]) : part.result;
    if (part.ending === "lost" && ++lost <= MOST_LOST && (!result || result.notRun)) {
      listener.said(
        `${part.why}. ${result ? `What was measured is kept (${count(result.cases.length, "case")}); the rest follows` : "It starts again"} on a new device.`,
      );
      names = result?.notRun;
      continue;
    }
    if (part.ending === "failed" && !result) throw new Error(part.why);
    if (part.ending !== "done" && part.why)
      listener.said(`${part.why}.${result ? ` What was measured is kept (${count(result.cases.length, "case")}).` : ""}`);
    return result;
  }
}

interface Part {
  readonly result: ResultFile | null;
  readonly ending: "done" | "lost" | "cancelled" | "failed";
  readonly why: string;
}

async function inFrame(args: BenchArgs, listener: Listener, signal: AbortSignal, before: ResultFile | null): Promise<Part> {
  let open: OpenFrame | undefined;
  const started = performance.now(),
    measured: Measured[] = [];
  let head: BenchHead | undefined,
    chosen: readonly string[] = [],
    firstMs = 0;
  const doneBefore = before?.cases.length ?? 0;
  const part = (ending: Part["ending"], why: string): Part => ({
    ending,
    why,
    result:
      head && measured.length > 0
        ? {
            where: "browser",
            seconds: (performance.now() - started) / 1000,
            browser: browser(),
            ...resultOf(head, measured, chosen, why || "cancelled"),
          }
        : null,
  });
  try {
    open = await openFrame(signal);
    const session = open.frame.measure(args, {
      opened: (adapter) => listener.opened(adapter),
      stopAsked: () => signal.aborted,
      began(known, names) {
        // A browser whose GPU is gone may go on with the processor.
        const source = sourceOf({ ...known, where: "browser" });
        if (before && source !== sourceOf(before)) throw new Error(`The browser's new device is another one: ${source}`);
        [head, chosen, firstMs] = [known, names, performance.now()];
      },
      progress({ label, done, total, note }) {
        if (signal.aborted) return;
        const secondsLeft = done === 0 ? {} : { secondsLeft: ((performance.now() - firstMs) / 1000 / done) * (total - done) };
        listener.stage({
          label,
          ...(head ? { done: doneBefore + done, total: doneBefore + total } : { done, total }),
          ...(note === undefined ? {} : { note }),
          ...secondsLeft,
        });
      },
      measured(m) {
        if (signal.aborted) return;
        measured.push(m);
        listener.measured(m);
      },
    });
    const ended = await Promise.race([session, open.cancelled]);
    head = ended;
    return ended.stopped === undefined ? part("done", "") : part("lost", sentence(ended.stopped));
  } catch (error) {
    if (signal.aborted) return part("cancelled", "Cancelled");
    const { name, message } = error as Error; // of the frame's own kind
    return part(name === "DeviceLostError" ? "lost" : "failed", sentence(message));
  } finally {
    open?.close();
  }
}

export const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}`;
