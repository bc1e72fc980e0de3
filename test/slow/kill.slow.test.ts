/** Twenty kills at random moments of one training of 50 steps: whatever was being written, it goes on to the bits of an unbroken one. */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { Random } from "../../engine/random.ts";
import { checkpointPosition } from "../../train/checkpoint.ts";

const MODEL = JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10, distilled: true });
const KILLS = 20;
const STEPS = 50;
const SEED = 11;

const args = (out: string) => [
  "cli/tessera.mjs", "train", "--model", MODEL, "--out", out, "--batch-size", "20", "--epochs", "2", "--warmup-epochs", "0",
  "--max-steps", String(STEPS), "--save-every", "1", "--eval-every", "100",
];

const stepOf = (out: string): number => {
  const checkpoint = join(out, "checkpoint.safetensors");
  return existsSync(checkpoint) ? checkpointPosition(readFileSync(checkpoint)).step : 0;
};

test(`${KILLS} kills at random moments of ${STEPS} steps end in the same bits`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "tessera-kills-"));
  const [whole, broken] = [join(folder, "whole"), join(folder, "broken")];
  const fromMs = performance.now();
  await promisify(execFile)(process.execPath, args(whole));
  const wholeMs = performance.now() - fromMs;
  const random = new Random(SEED, 0);
  const steps: number[] = [];
  for (let k = 0; k < KILLS; k++) {
    const resume = stepOf(broken) > 0 ? ["--resume"] : [];
    const child = spawn(process.execPath, [...args(broken), ...resume], { stdio: "ignore" });
    const ended = new Promise<string>((resolve) => child.on("exit", (code, signal) => resolve(signal ?? `exit ${code}`)));
    // Anywhere from the start of the process to the time that all steps take: some kills come before a step, some after many.
    setTimeout(() => child.kill("SIGKILL"), wholeMs * random.uniform(0.05, 0.6));
    const how = await ended;
    steps.push(stepOf(broken));
    if (how !== "SIGKILL") {
      expect(how).toBe("exit 0"); // done before its kill; from here on there is nothing left to break
      break;
    }
  }
  await promisify(execFile)(process.execPath, [...args(broken), ...(stepOf(broken) > 0 ? ["--resume"] : [])]);
  console.log(`killed ${steps.length} times, at steps ${steps.join(" ")}`);
  expect(steps.length).toBe(KILLS);
  for (const file of ["model.safetensors", "model_ema.safetensors", "checkpoint.safetensors"]) {
    expect(readFileSync(join(broken, file)).equals(readFileSync(join(whole, file))), file).toBe(true);
  }
});
