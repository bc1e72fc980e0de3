/** A training that a signal stops, and that goes on. */
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import { checkpointPosition } from "../../train/checkpoint.ts";

const MODEL = JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10, distilled: true });

/** Sends the signal once the first checkpoint is there; the run saves, ends with that code, and goes on to the bits of an unbroken one. */
export async function stoppedAndGoneOn(signal: "SIGINT" | "SIGTERM", where: "node" | "chromium", exitCode: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tessera-stopped-"));
  const [out, unbroken] = [join(folder, "stopped"), join(folder, "whole")];
  const args = ["cli/tessera.mjs", "train", "--where", where, "--model", MODEL, "--preset", "small-images", "--batch-size", "20"];
  args.push("--epochs", "50", "--eval-every", "100");
  if (where === "chromium") args.push("--auto-augment", "null", "--erasing", "0"); // whose kernels a page compiles for half a minute
  const child = spawn(process.execPath, [...args, "--out", out, "--save-every", "1"], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text) => (stdout += text));
  child.stderr.on("data", (text) => (stderr += text));
  const checkpoint = join(out, "checkpoint.safetensors");
  const watch = setInterval(() => existsSync(checkpoint) && (clearInterval(watch), child.kill(signal)), 10);
  const code = await new Promise((resolve) => child.on("exit", resolve));
  expect(code, stderr).toBe(exitCode);
  expect(stderr).toContain("stopping after this step; Ctrl-C again ends at once\n");
  const { step } = checkpointPosition(readFileSync(checkpoint));
  expect(stdout).toContain(`stopped after ${step} steps`);
  expect(step).toBeLessThan(400); // of 5000
  for (const file of ["model.safetensors", "events.out.tfevents.tessera"]) expect(existsSync(join(out, file)), file).toBe(true);
  const last = String(step + 2);
  const run = (...more: string[]) => promisify(execFile)(process.execPath, [...args, ...more, "--max-steps", last]);
  const [resumed] = await Promise.all([run("--out", out, "--resume"), run("--out", unbroken)]);
  expect(resumed.stdout, resumed.stderr).toContain(`after ${last} steps`);
  expect(readFileSync(join(out, "model.safetensors")).equals(readFileSync(join(unbroken, "model.safetensors")))).toBe(true);
  rmSync(folder, { recursive: true, force: true });
}
