/**
 * Twenty kills at random moments of one training of 50 steps: whatever was being written, it goes on to the bits of an unbroken one. And a
 * signal's stop of a run in Chromium.
 */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { Random } from "../../kernels/shared/random.ts";
import { checkpointPosition } from "../../train/checkpoint.ts";
import { stoppedAndGoneOn } from "../cli/stopped.ts";

const MODEL = JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10, distilled: true });
const KILLS = 20;
const STEPS = 50;
const SEED = 11;

const args = (out: string) => [
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
];

const stepOf = (out: string): number => {
  const checkpoint = join(out, "checkpoint.safetensors");
  return existsSync(checkpoint) ? checkpointPosition(readFileSync(checkpoint)).step : 0;
};

test(`${KILLS} kills at random moments of runs of ${STEPS} steps: each run ends in the same bits as the unbroken one`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-kills-"));
  const whole = join(folder, "whole");
  const fromMs = performance.now();
  await promisify(execFile)(process.execPath, args(whole));
  const wholeMs = performance.now() - fromMs;
  const random = new Random(SEED, 0);
  const runs: number[][] = [[]];
  const out = () => join(folder, `run-${runs.length}`);
  const begun = () => (stepOf(out()) > 0 ? ["--resume"] : []);
  const compare = () => {
    for (const file of ["model.safetensors", "model_ema.safetensors", "checkpoint.safetensors"]) {
      expect(readFileSync(join(out(), file)).equals(readFileSync(join(whole, file))), `${file} of run ${runs.length}`).toBe(true);
    }
  };
  for (let kills = 0; kills < KILLS; ) {
    const child = spawn(process.execPath, [...args(out()), ...begun()], { stdio: "ignore" });
    const ended = new Promise<string>((resolve) => child.on("exit", (code, signal) => resolve(signal ?? `exit ${code}`)));
    // Anywhere from the start of the process to past the time that all steps take: before a first step, while files are written, at the very end.
    const timer = setTimeout(() => child.kill("SIGKILL"), wholeMs * random.uniform(0.1, 0.8));
    const how = await ended;
    clearTimeout(timer);
    if (how === "SIGKILL") {
      kills++;
      runs.at(-1)!.push(stepOf(out()));
    } else {
      expect(how).toBe("exit 0"); // done before its kill
      compare();
      if (kills < KILLS) runs.push([]);
    }
  }
  await promisify(execFile)(process.execPath, [...args(out()), ...begun()]);
  compare();
  console.log(`${KILLS} kills over ${runs.length} runs, at steps ${runs.map((steps) => steps.join(" ")).join(" | ")}`);
});

test("SIGINT saves and stops, in chromium, with exit code 130; what goes on ends in the same bits", { timeout: 600_000 }, () =>
  stoppedAndGoneOn("SIGINT", "chromium", 130),
);
