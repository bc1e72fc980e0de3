/** A sustained run on the current device. Free of Node and of the DOM. */
import { getDevice, type AdapterDescription } from "../engine/device.ts";
import { inputsOf, type Benchmark } from "./benchmark.ts";
import { measureCeilings } from "./ceilings.ts";
import { ours } from "./ours.ts";
import type { BenchHead } from "./session.ts";
import { BUNDLE_MS, imagesOf, sustain, WINDOW_SECONDS, type SustainedArgs, type Window } from "./sustained.ts";

/** Tells `began` all that a result says besides its windows, then `told` of each window. */
export async function sustainedSession(
  c: Benchmark,
  { seconds, version, commit }: SustainedArgs,
  watcher: { began(head: BenchHead): void; told(window: Window): void },
): Promise<void> {
  const { adapter } = getDevice();
  const images = imagesOf(c);
  if (images === null) throw new Error(`bench: expected a model's case for a sustained run, got ${c.name}`);
  const ceilings = await measureCeilings(adapter.software ? "software" : "gpu");
  watcher.began(headOf(adapter, ceilings, { version, commit }));
  const prepared = await ours(version).prepare(c, inputsOf(c));
  try {
    await sustain(prepared, images, seconds, watcher.told);
  } finally {
    prepared.dispose();
  }
}

const headOf = (
  adapter: AdapterDescription,
  ceilings: BenchHead["ceilings"],
  { version, commit }: Pick<SustainedArgs, "version" | "commit">,
): BenchHead => ({
  adapter: { ...adapter, toggles: [] },
  commit,
  date: new Date().toISOString(),
  versions: { "tessera-gpu": version },
  rivalFlags: {},
  absent: {},
  limits: { samples: 0, seconds: WINDOW_SECONDS, atMostSeconds: 0, sampleMs: BUNDLE_MS },
  ceilings,
});
