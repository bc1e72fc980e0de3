/**
 * How much memory loading DeiT-B's weights takes besides them (346 MB of f32), in JavaScript: array buffers and heap. The process as a
 * whole has the GPU's buffers as well where the adapter is software, and Dawn's staging; that is printed, not held to anything.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { convertedFile, convertedShards, convertWeights } from "../../jobs/convert/weights.ts";
import type { AnyWeights } from "../../models/checkpoints/formats.ts";
import type { Naming } from "../../models/checkpoints/names.ts";
import { createModel } from "../../models/model.ts";
import { numel } from "../../engine/shape.ts";

const MODEL = "deit_base_patch16_224";
/** For training all parameters lie in one buffer, which Mesa's lavapipe limits to 134 MB. */
const TRAINED = "deit_small_patch16_224";
const FACTOR = 1.3;
const folder = await mkdtemp(join(tmpdir(), "tessera-memory-"));
function weights(model: string): AnyWeights {
  let seed = 1;
  const state = new Map(
    createModel(model).params.map(({ name, shape }) => {
      const data = new Float32Array(numel(shape));
      for (let i = 0; i < data.length; i++) data[i] = ((seed = (Math.imul(seed, 1664525) + 1013904223) | 0) / 2 ** 31) * 0.05;
      return [name, { shape, data }] as const;
    }),
  );
  return { container: "safetensors", ignored: [], metadata: {}, state };
}
afterAll(() => rm(folder, { recursive: true }));

beforeAll(async () => {
  await writeFile(join(folder, "small.safetensors"), convertedFile(convertWeights(weights(TRAINED), { to: "timm" }), "safetensors"));
  const base = weights(MODEL);
  const convert = (to: Naming) => convertWeights(base, { to });
  await writeFile(join(folder, "timm.safetensors"), convertedFile(convert("timm"), "safetensors"));
  await writeFile(join(folder, "hf.safetensors"), convertedFile(convert("hf"), "safetensors"));
  await writeFile(join(folder, "timm.pth"), convertedFile(convert("timm"), "torch"));
  const { shards, index } = convertedShards(convert("hf"), "m", 100e6);
  for (const [name, content] of shards) await writeFile(join(folder, name), content);
  await writeFile(join(folder, "m.safetensors.index.json"), index);
});

test.each([
  ["params", "timm.safetensors", MODEL],
  ["params", "timm.pth", MODEL],
  ["params", "hf.safetensors", MODEL],
  ["params", "m.safetensors.index.json", MODEL],
  ["store", "small.safetensors", TRAINED],
])("%s of %s, %s", { timeout: 300_000 }, async (way, name, model) => {
  const bytes = createModel(model).params.reduce((n, s) => n + 4 * numel(s.shape), 0);
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--import",
    "./cli/typescript.mjs",
    "test/slow/memory-child.ts",
    way,
    join(folder, name),
    model,
  ]);
  const { js, rss, seconds } = JSON.parse(stdout.trim().split("\n").at(-1)!) as { js: number; rss: number; seconds: number };
  console.log(
    `${way} ${name}: weights ${(bytes / 1e6).toFixed(1)} MB; JavaScript ${(js / bytes).toFixed(3)} of that; resident, with the GPU's where that is software, ${(rss / bytes).toFixed(2)}; ${seconds.toFixed(1)} s`,
  );
  expect(js).toBeGreaterThan(0.9 * bytes); // it did load, and was measured
  expect(js).toBeLessThan(FACTOR * bytes);
});
