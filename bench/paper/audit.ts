/** The launches of DeiT on an H100 on paper as text: each product's tile, cuts and waves, and what the model of their time says. */
import type { PaperGPU } from "./gpu.ts";
import { paperLaunches, type PaperLaunch, type PaperRun } from "./launches.ts";
import { f32Correction, PYTORCH, secondsOf, wavesOfProduct } from "./roofline.ts";

const MODELS = ["deit_tiny_patch16_224", "deit_small_patch16_224", "deit_base_patch16_224"] as const;

/** The share of PyTorch's images/s in training that we want: at least, and as an aim. */
const WANTED: Readonly<Record<PaperRun["model"], Readonly<Record<PaperRun["dtype"], readonly [number, number]>>>> = {
  deit_tiny_patch16_224: { f16: [1.4, 2], f32: [1.25, 1.3] },
  deit_small_patch16_224: { f16: [0.9, 1.1], f32: [1, 1.1] },
  deit_base_patch16_224: { f16: [0.65, 0.72], f32: [0.9, 1] },
};

const nameOf = ({ model, mode, dtype, augmented }: PaperRun): string => `${model} ${mode} ${dtype}${augmented ? " augmented" : ""}`;
const milliseconds = (seconds: number): string => (1e3 * seconds).toFixed(2);

/** What a launch is, as one line; equal lines are counted. */
function lineOf({ kernel, groups, bytes, product: p }: PaperLaunch): string {
  if (!p) return `${kernel}  ${groups} workgroups, ${(bytes / 1e6).toFixed(1)} MB`;
  const notes = [p.splits > 1 ? `K cut in ${p.splits}` : "", p.sums ? "sums of A" : "", p.vec ? "" : "single elements"].filter(Boolean);
  const waves = wavesOfProduct(p);
  return `${kernel} ${p.order} ${p.matrices}x${p.M}x${p.N}x${p.K}  tile ${p.bm}x${p.bn}x${p.bk}, ${p.workgroups} workgroups, ${waves.toFixed(2)} waves${notes.map((n) => `, ${n}`).join("")}`;
}

function runText(run: PaperRun, launches: readonly PaperLaunch[]): string {
  const lines = new Map<string, { count: number; seconds: number }>();
  for (const launch of launches) {
    const line = lineOf(launch),
      { count, seconds } = lines.get(line) ?? { count: 0, seconds: 0 };
    lines.set(line, { count: count + 1, seconds: seconds + secondsOf(launch) });
  }
  const rows = [...lines].map(
    ([line, { count, seconds }]) => `${String(count).padStart(4)}  ${milliseconds(seconds).padStart(8)} ms  ${line}`,
  );
  return `${nameOf(run)}, batch ${run.batch}: ${launches.length} launches\n${rows.join("\n")}`;
}

function summary(run: PaperRun, launches: readonly PaperLaunch[]): string {
  const { model, mode, dtype, batch } = run;
  const correction = dtype === "f32" && mode === "train" ? f32Correction(model) : 1;
  const seconds = correction * launches.reduce((sum, launch) => sum + secondsOf(launch), 0);
  const [least, aim] = WANTED[model][dtype];
  const share = batch / seconds / PYTORCH[model][dtype];
  const beside = mode === "train" ? `${share.toFixed(2)} of PyTorch (at least ${least}, aim ${aim})` : "";
  return `${nameOf(run).padEnd(36)}${String(launches.length).padStart(4)} launches ${milliseconds(seconds).padStart(7)} ms ${(batch / seconds).toFixed(0).padStart(6)} images/s  ${beside}`.trimEnd();
}

/** Training and forward of the three sizes in both types: a summary line for each, then every launch. */
export function auditText(gpu: PaperGPU, batch: number): string {
  const runs = (["train", "forward"] as const).flatMap((mode) =>
    (["f16", "f32"] as const).flatMap((dtype) => MODELS.map((model): PaperRun => ({ model, mode, dtype, batch }))),
  );
  runs.push(...(["f16", "f32"] as const).map((dtype): PaperRun => ({ model: MODELS[0], mode: "train", dtype, batch, augmented: true })));
  const found = runs.map((run) => [run, paperLaunches(gpu, run)] as const);
  return `${found.map((one) => summary(...one)).join("\n")}\n\n${found.map((one) => runText(...one)).join("\n\n")}\n`;
}
