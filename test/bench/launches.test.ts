/**
 * What DeiT's steps are made of on a large GPU, recorded without one: a change of tiles, cuts or launches shows as a difference in
 * launches.txt, with what a model of an H100 makes of it. After a change that is meant: `npx vitest run test/bench/launches.test.ts -u`.
 */
import { expect, test } from "vitest";
import { auditText } from "../../bench/paper/audit.ts";
import { H100, onPaper } from "../../bench/paper/gpu.ts";
import { paperLaunches } from "../../bench/paper/launches.ts";
import { MEASURED } from "../../bench/paper/measured.ts";
import { f32Correction } from "../../bench/paper/roofline.ts";
import { Tensor } from "../../engine/tensor.ts";
import { gemm, productsOf } from "../../kernels/gemm/gemm.ts";

test("tile, cuts and waves of every launch of DeiT-Ti, S and B on an H100", { timeout: 120_000 }, async () => {
  await expect(auditText(H100, 256)).toMatchFileSnapshot("launches.txt");
});

test("in f16 every large product runs on tensor cores, and nothing sums or packs beside them", () => {
  const launches = paperLaunches(H100, { model: "deit_small_patch16_224", mode: "train", dtype: "f16", batch: 256 });
  // Not those of the last block's one or two queries with a head's keys and values, which no matrix fits.
  const large = launches.flatMap(({ product: p }) => (p && Math.min(p.M, p.N, p.K) > 2 ? [p] : []));
  expect(large.filter(({ onMatrices }) => !onMatrices)).toEqual([]);
  const kernels = new Set(launches.map(({ kernel }) => kernel));
  expect([...kernels].filter((name) => /sum\.columns|pack|columnSums/.test(name))).toEqual([]);
});

/** How a weight gradient of DeiT-S's qkv is cut on a GPU of this name. */
function workgroups(name: string, dtype: "f32" | "f16"): number {
  return onPaper({ ...H100, name }, () => {
    const [a, b] = [Tensor.zeros([50432, 1152], dtype), Tensor.zeros([50432, 384], dtype)];
    const product = { a: { tensor: a, transposed: true }, b: { tensor: b }, M: 1152, N: 384, K: 50432, shape: [1152, 384] };
    const [, choice] = productsOf(() => void gemm({ ...product, store: "f32" }))[0]!;
    return choice.tiles[0] * choice.tiles[1] * choice.splits;
  });
}

test("cuts fill whole waves where the GPU is known, and make many workgroups where it is not", () => {
  const waves = workgroups(H100.name, "f32") / 264;
  expect(Math.ceil(waves) - waves).toBeLessThan(0.06);
  expect(workgroups("another GPU", "f32")).toBeGreaterThanOrEqual(1500);
  expect(132 - (workgroups(H100.name, "f16") % 132 || 132)).toBeLessThanOrEqual(6);
});

test("the model gives the measured f32 steps, of their own launches, within 4 %", () => {
  for (const model of Object.keys(MEASURED) as (keyof typeof MEASURED)[]) {
    const { products, others } = MEASURED[model];
    expect(others.launches + products.reduce((sum, [count]) => sum + count, 0)).toBe(model === "deit_base_patch16_224" ? 393 : 392); // as the run counted
    expect(Math.abs(f32Correction(model) - 1), model).toBeLessThan(0.04);
  }
});
