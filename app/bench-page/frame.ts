/** The frame that measures: engine, device and rivals live in it, and removing it frees them all. */
import { session, type BenchArgs, type BenchResult, type Watcher } from "../../bench/session.ts";
import { pageTuning } from "../../bench/tune/page.ts";
import { initDevice, type AdapterDescription } from "../../engine/device.ts";
import { useTuning } from "../../kernels/shared/tuning.ts";

export interface FrameWatcher extends Watcher {
  opened(adapter: AdapterDescription): void;
}

export interface Frame {
  measure(args: BenchArgs, watcher: FrameWatcher): Promise<BenchResult>;
}

const frame: Frame = {
  async measure(args, watcher) {
    const { adapter } = await initDevice({ request: { powerPreference: "high-performance" } });
    watcher.opened(adapter);
    useTuning(await pageTuning(adapter));
    return session(args, watcher);
  },
};

Object.assign(globalThis, frame);
