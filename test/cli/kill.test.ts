/** A training that is killed at any moment leaves a checkpoint that can be read, and goes on to the bits of an unbroken one. */
import { execFile, spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { readWeights } from "../../models/checkpoints/weights.ts";
import { checkpointPosition } from "../../train/checkpoint.ts";

const MODEL = JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10, distilled: true });
const KILLS = 3;
const STEPS = 40;

const args = (out: string, ...more: string[]) => [
  "cli/tessera.mjs",
  "train",
  "--model",
  MODEL,
  "--out",
  out,
  "--batch-size",
  "20",
  "--epochs",
  "2",
  "--warmup-epochs",
  "0",
  "--max-steps",
  String(STEPS),
  "--save-every",
  "1",
  "--eval-every",
  "100",
  ...more,
];

/** Starts a training and kills it `ms` after its first checkpoint (of this start) appeared. */
function killed(out: string, ms: number): Promise<void> {
  const checkpoint = join(out, "checkpoint.safetensors");
  const before = existsSync(checkpoint) ? readFileSync(checkpoint) : null;
  const child = spawn(process.execPath, args(out, ...(before ? ["--resume"] : [])), { stdio: "ignore" });
  const watch = setInterval(() => {
    if (!existsSync(checkpoint) || before?.equals(readFileSync(checkpoint))) return;
    clearInterval(watch);
    setTimeout(() => child.kill("SIGKILL"), ms);
  }, 5);
  return new Promise((resolve) =>
    child.on("exit", () => {
      clearInterval(watch);
      resolve();
    }),
  );
}

test("killed again and again: always a readable checkpoint, in the end the same bits", { timeout: 300_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-kill-"));
  const [whole, broken] = [join(folder, "whole"), join(folder, "broken")];
  await promisify(execFile)(process.execPath, args(whole));
  for (let k = 0; k < KILLS; k++) {
    await killed(broken, 7 * k + 3);
    expect(readWeights(readFileSync(join(broken, "checkpoint.safetensors"))).state.size).toBeGreaterThan(0);
  }
  // The moment that a clock hardly hits: a step's metrics are written, its checkpoint is not.
  const { step } = checkpointPosition(readFileSync(join(broken, "checkpoint.safetensors")));
  appendFileSync(join(broken, "metrics.jsonl"), `${JSON.stringify({ kind: "step", step: step + 1 })}\n`);
  await promisify(execFile)(process.execPath, args(broken, "--resume"));
  for (const file of ["model.safetensors", "model_ema.safetensors"]) {
    expect(readFileSync(join(broken, file)).equals(readFileSync(join(whole, file))), file).toBe(true);
  }
  // Every step's metrics once, in order, whatever was lost with a kill.
  const steps = readFileSync(join(broken, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((l) => JSON.parse(l) as { kind: string; step: number })
    .filter((m) => m.kind === "step");
  expect(steps.map((m) => m.step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
  expect(readdirSync(broken).filter((f) => f.endsWith(".safetensors")).length).toBe(3);
});
