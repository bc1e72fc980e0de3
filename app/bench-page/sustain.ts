/** One sustained run in this page, in a frame as every run. Whatever ends it, the windows that were measured are the result. */
import type { ResultFile } from "../../bench/result-file.ts";
import type { BenchHead } from "../../bench/session.ts";
import { kneeOf, type Sustained, type SustainedArgs, type Window } from "../../bench/sustained.ts";
import type { AdapterDescription } from "../../engine/device.ts";
import { browser, openFrame, type OpenFrame } from "./open-frame.ts";
import { sentence } from "./run.ts";

export interface SustainedListener {
  opened(adapter: AdapterDescription): void;
  /** The result so far, after each window. */
  told(result: ResultFile): void;
}

/** Null if it ended before the first window on request. Rejects, saying why, if anything else ended it so early. */
export async function sustain(
  args: SustainedArgs,
  imagesPerRun: number,
  listener: SustainedListener,
  signal: AbortSignal,
): Promise<ResultFile | null> {
  let open: OpenFrame | undefined, head: BenchHead | undefined;
  const windows: Window[] = [];
  const result = (stopped?: string): ResultFile => {
    const sustained: Sustained = {
      ...{ case: args.case, imagesPerRun, seconds: args.seconds, windows: [...windows], knee: kneeOf(windows) },
      ...(stopped === undefined ? {} : { stopped }),
    };
    return { ...head!, where: "browser", seconds: windows.at(-1)!.seconds, browser: browser(), cases: [], sustained };
  };
  try {
    open = await openFrame(signal);
    const session = open.frame.sustain(args, {
      opened: listener.opened,
      began: (known) => void (head = known),
      told(window) {
        if (signal.aborted) return;
        windows.push({ ...window });
        listener.told(result());
      },
    });
    await Promise.race([session, open.cancelled]);
    if (windows.length === 0) throw new Error(`no window of ten seconds fits ${args.seconds} s`);
    return result();
  } catch (error) {
    const why = signal.aborted ? "Stopped" : sentence((error as Error).message);
    if (windows.length > 0) return result(why);
    if (signal.aborted) return null;
    throw new Error(why);
  } finally {
    open?.close();
  }
}
