/** Checkpoints that are cut, changed, or no checkpoint of the run. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { createModel } from "../../../models/model.ts";
import { initialState } from "../../../models/params.ts";
import { writeWeights } from "../../../models/checkpoints/weights.ts";
import { tessera } from "../../cli/small-deit.ts";
import type { Fault } from "./fault.ts";
import { begin, folder, goOn, small } from "./training.ts";

const out = join(folder, "checkpoints");
const path = join(out, "checkpoint.safetensors");
let good: Buffer | null = null;

/** A run in the middle of its way; its checkpoint is put back before each try. */
async function halfway(): Promise<Buffer> {
  if (!good) {
    const { how, stderr } = await begin(small, out, "--max-steps", "10").ended;
    expect(how, stderr).toBe(0);
    good = readFileSync(path);
  }
  rmSync(path, { recursive: true, force: true });
  writeFileSync(path, good);
  return good;
}

/** The command refuses to go on, in one line, and leaves the file as it is. */
async function expectRefused(bytes: Uint8Array | null): Promise<string> {
  const { code, stderr } = await tessera(...small.args, "--out", out, "--resume");
  expect(code, stderr).toBe(2);
  const said = stderr.trimEnd().split("\n").at(-1)!;
  expect(said).toMatch(/^tessera train: expected .*, got /);
  if (bytes) expect(readFileSync(path).equals(bytes)).toBe(true);
  return said;
}

const truncated: Fault = {
  name: "truncated checkpoint",
  tries: 8,
  survives: "refused with exit 2, the file untouched",
  async attempt(random) {
    const bytes = await halfway();
    const cut = bytes.subarray(0, random.int(bytes.length));
    writeFileSync(path, cut);
    await expectRefused(cut);
    return undefined;
  },
};

const flipped: Fault = {
  name: "checkpoint with one bit flipped",
  tries: 8,
  survives: "refused with exit 2, the file untouched",
  async attempt(random) {
    const changed = Buffer.from(await halfway());
    changed[random.int(changed.length)]! ^= 1 << random.int(8);
    writeFileSync(path, changed);
    await expectRefused(changed);
    return undefined;
  },
};

/** Things that stand where the checkpoint should. */
const FOREIGN: readonly (() => Uint8Array | "folder")[] = [
  () => new Uint8Array(0),
  () => new TextEncoder().encode("<!doctype html><title>Log in</title>"),
  () => readFileSync("test/golden/checkpoint-training.pth"),
  () => readFileSync("app/data/teacher/regnety-cifar10.safetensors"),
  () => readFileSync("test/golden/images/rgb.jpg"),
  () => readFileSync(join(out, "model.safetensors")),
  () => {
    const model = createModel({ arch: "deit", imgSize: 32, patchSize: 16, dim: 16, depth: 1, heads: 1, numClasses: 10 });
    return writeWeights(initialState(model.params, 1), { config: model.config });
  },
  () => "folder",
];

const foreign: Fault = {
  name: "foreign file as checkpoint",
  tries: FOREIGN.length,
  survives: "refused with exit 2, the file untouched",
  async attempt(_, number) {
    await halfway();
    const thing = FOREIGN[number % FOREIGN.length]!();
    rmSync(path);
    if (thing === "folder") mkdirSync(path);
    else writeFileSync(path, thing);
    await expectRefused(thing === "folder" ? null : thing);
    return undefined;
  },
};

const OTHERS = [
  ["--seed", "4"],
  ["--lr", "0.1"],
  ["--augment", "cpu"],
  ["--model", JSON.stringify({ arch: "deit", imgSize: 32, patchSize: 8, dim: 16, depth: 1, heads: 1, numClasses: 10, distilled: true })],
];

const otherRun: Fault = {
  name: "checkpoint of another run (seed, recipe, augmentation, model)",
  tries: OTHERS.length,
  survives: "refused with exit 2; the run itself goes on to the same bits",
  async attempt(_, number) {
    await halfway();
    const { code, stderr } = await tessera(...small.args, "--out", out, "--resume", ...OTHERS[number % OTHERS.length]!);
    expect(code, stderr).toBe(2);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^tessera train: expected a checkpoint (with|of|for) /);
    if (number % OTHERS.length === OTHERS.length - 1) await goOn(small, out);
    return undefined;
  },
};

export const checkpoints: readonly Fault[] = [truncated, flipped, foreign, otherRun];
