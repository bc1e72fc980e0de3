/** The small training that the faults befall, as a process of the command line, and the bits that an unbroken one ends in. */
import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { checkpointPosition } from "../../../train/checkpoint.ts";

export const folder = mkdtempSync(join(tmpdir(), "tessera-chaos-"));

export const STEPS = 20;
const MODEL = { arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10, distilled: true };
/** Its checkpoint is large enough to be caught while it is written: 25 MB. */
const WIDE = { ...MODEL, dim: 256, heads: 4, depth: 2 };

export interface Training {
  readonly steps: number;
  readonly args: readonly string[];
}
const training = (model: object, steps: number): Training => ({
  steps,
  args: [
    ...["train", "--model", JSON.stringify(model), "--batch-size", "20", "--epochs", "2", "--warmup-epochs", "0"],
    ...["--max-steps", String(steps), "--save-every", "1", "--eval-every", "100"],
    ...["--auto-augment", "null", "--erasing", "0"], // whose kernels take seconds to compile, at each start
  ],
});
export const small = training(MODEL, STEPS);
export const wide = training(WIDE, 6);

export interface Ended {
  /** Most memory of its that was resident, in MiB; 0 where it was ended by a signal. */
  readonly mostMiB: number;
  /** Exit code, or the signal that ended it. */
  readonly how: number | string;
  readonly stderr: string;
  readonly ms: number;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** Starts a command line in a process of its own. */
export function start(args: readonly string[]): Running {
  const fromMs = performance.now();
  const child = spawn(process.execPath, ["--import", "./test/slow/chaos/say-memory.mjs", "cli/tessera.mjs", ...args], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  let [stderr, memory] = ["", ""];
  child.stderr!.on("data", (text) => (stderr += text));
  child.stdio[3]!.on("data", (text) => (memory += text));
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (code, signal) =>
      resolve({ how: signal ?? code!, stderr, mostMiB: Math.round(Number(memory) / 1024), ms: performance.now() - fromMs }),
    ),
  );
  return { child, ended };
}

export const begin = ({ args }: Training, out: string, ...more: string[]): Running =>
  start([...args, "--out", out, ...(stepOf(out) > 0 ? ["--resume"] : []), ...more]);

/** Number of updates in a folder's checkpoint, 0 without one. Throws for a checkpoint that cannot be read. */
export function stepOf(out: string): number {
  const path = join(out, "checkpoint.safetensors");
  return existsSync(path) ? checkpointPosition(readFileSync(path)).step : 0;
}

const FILES = ["model.safetensors", "model_ema.safetensors", "checkpoint.safetensors"];

const bitsIn = (out: string): string[] =>
  FILES.map(
    (name) =>
      `${name} ${createHash("sha256")
        .update(readFileSync(join(out, name)))
        .digest("hex")}`,
  );

const unbroken = new Map<Training, Promise<{ readonly bits: readonly string[]; readonly ms: number }>>();

/** What a training ends in that nothing befalls, and how long it takes. */
export function whole(of: Training): Promise<{ readonly bits: readonly string[]; readonly ms: number }> {
  const known = unbroken.get(of);
  if (known) return known;
  const made = (async () => {
    const out = join(folder, `whole-${unbroken.size}`);
    const { how, stderr, ms } = await begin(of, out).ended;
    expect(how, stderr).toBe(0);
    return { bits: bitsIn(out), ms };
  })();
  unbroken.set(of, made);
  return made;
}

/** A folder that lacks nothing: the bits of an unbroken run, every step's metrics once and in order, and no file that a writer left. */
export async function expectWhole(of: Training, out: string): Promise<void> {
  expect(bitsIn(out)).toEqual((await whole(of)).bits);
  const lines = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
  const steps = lines.map((line) => JSON.parse(line) as { kind: string; step: number }).filter(({ kind }) => kind === "step");
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: of.steps }, (_, i) => i + 1));
  expect(readdirSync(out).filter((name) => name.startsWith("."))).toEqual([]);
}

/** Goes on to the end, with `expectWhole` there. */
export async function goOn(of: Training, out: string): Promise<void> {
  const { how, stderr } = await begin(of, out).ended;
  expect(how, stderr).toBe(0);
  await expectWhole(of, out);
}

/** Waits until the folder has the checkpoint of `step`, or the process has ended. */
export async function reached(step: number, out: string, { ended }: Running): Promise<void> {
  let over = false;
  void ended.then(() => (over = true));
  while (!over && stepOf(out) < step) await new Promise((resolve) => setTimeout(resolve, 3));
}
