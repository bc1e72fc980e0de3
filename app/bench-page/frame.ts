/** The frame that measures: engine, device and rivals live in it, and removing it frees them all. */
import { cases } from "../../bench/cases.ts";
import { session, type BenchArgs, type BenchHead, type BenchResult, type Watcher } from "../../bench/session.ts";
import type { SustainedArgs, Window as SpeedWindow } from "../../bench/sustained.ts";
import { sustainedSession } from "../../bench/sustained-session.ts";
import { pageTuning } from "../../bench/tune/page.ts";
import { initDevice, type AdapterDescription } from "../../engine/device.ts";
import { useTuning } from "../../kernels/shared/tuning.ts";

export interface FrameWatcher extends Watcher {
  opened(adapter: AdapterDescription): void;
}

export interface SustainedWatcher {
  opened(adapter: AdapterDescription): void;
  began(head: BenchHead): void;
  told(window: SpeedWindow): void;
}

export interface Frame {
  measure(args: BenchArgs, watcher: FrameWatcher): Promise<BenchResult>;
  sustain(args: SustainedArgs, watcher: SustainedWatcher): Promise<void>;
}

async function start(opened: (adapter: AdapterDescription) => void): Promise<void> {
  const { adapter } = await initDevice({ request: { powerPreference: "high-performance" } });
  opened(adapter);
  useTuning(await pageTuning(adapter));
}

const frame: Frame = {
  async measure(args, watcher) {
    await start(watcher.opened);
    return session(args, watcher);
  },
  async sustain(args, watcher) {
    await start(watcher.opened);
    const c = cases.find(({ name }) => name === args.case);
    if (!c) throw new Error(`bench: expected a case of the benchmark, got ${args.case}`);
    await sustainedSession(c, args, watcher);
  },
};

Object.assign(globalThis, frame);
