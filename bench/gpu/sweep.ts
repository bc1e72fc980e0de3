/** The step that looks for the fastest tile of a product: candidates beyond those of kernels/gemm/gemm.ts, checked, then timed. */
import { gemm } from "../../kernels/gemm/gemm.ts";
import type { Tile } from "../../kernels/gemm/config.ts";
import { sharedBytes } from "../../kernels/gemm/shared.ts";
import { record, type Plan } from "../../engine/plan.ts";
import { getDevice } from "../../engine/device.ts";
import { Tensor } from "../../engine/tensor.ts";
import { gemmProblem } from "../../checks/gemm-problem.ts";
import { uniform } from "../../checks/check.ts";
import { measureCeilings } from "../ceilings.ts";
import { median, round } from "../stats.ts";
import { open, save, stopwatch, type Run, type Toggles } from "./step.ts";

/** As PyTorch would write the product; NN, NT and TN say how the operands are stored. */
interface Shape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly stored: "NN" | "NT" | "TN";
}

const shapes: readonly Shape[] = [
  { M: 4096, N: 4096, K: 4096, stored: "NN" },
  { M: 50432, N: 1152, K: 384, stored: "NT" }, // DeiT-S at batch 256: qkv
  { M: 50432, N: 192, K: 768, stored: "NN" }, // DeiT-Ti: a gradient
  { M: 1536, N: 384, K: 50432, stored: "TN" }, // and a weight's
];
const smokeShapes: readonly Shape[] = [
  { M: 128, N: 128, K: 64, stored: "NN" },
  { M: 128, N: 64, K: 64, stored: "NT" },
];

const sizes = {
  "128x128": { x: 16, y: 8, tm: 16, tn: 8 },
  "128x128 wide": { x: 8, y: 16, tm: 8, tn: 16 },
  "128x112": { x: 14, y: 8, tm: 16, tn: 8 },
  "128x64": { x: 8, y: 16, tm: 8, tn: 8 },
  "128x64 tall": { x: 8, y: 8, tm: 16, tn: 8 },
  "104x104": { x: 13, y: 13, tm: 8, tn: 8 },
  "208x104": { x: 13, y: 13, tm: 16, tn: 8 },
  "104x64": { x: 8, y: 13, tm: 8, tn: 8 },
  "64x64": { x: 8, y: 8, tm: 8, tn: 8 },
  "256x128": { x: 16, y: 16, tm: 16, tn: 8 },
} as const;

const candidates: readonly (readonly [keyof typeof sizes, number, NonNullable<Tile["flow"]>])[] = [
  ["128x128", 8, "double"],
  ["128x128", 16, "double"],
  ["128x128", 16, "ahead"],
  ["128x128 wide", 8, "double"],
  ["128x112", 8, "double"],
  ["128x64", 16, "ahead"],
  ["128x64", 8, "double"],
  ["128x64 tall", 8, "double"],
  ["128x64 tall", 16, "ahead"],
  ["104x104", 8, "ahead"],
  ["104x104", 8, "double"],
  ["208x104", 8, "double"],
  ["104x64", 16, "ahead"],
  ["64x64", 16, "ahead"],
  ["64x64", 8, "double"],
  ["256x128", 16, "ahead"],
];

export async function sweep(run: Run, toggles: Toggles): Promise<void> {
  const device = await open(toggles, { ...run, out: "" });
  const over = stopwatch(run.seconds);
  const ceilings = await measureCeilings(device.adapter.software ? "software" : "gpu");
  console.log(`copies ${ceilings.copyGBps} GB/s, multiplies and adds ${ceilings.fmaGFlops} GFLOP/s`);
  const tiles = new Map<string, Tile>();
  for (const [size, bk, flow] of run.smoke ? candidates.slice(0, 2) : candidates) {
    const tile: Tile = { kind: "shared", ...sizes[size], bk, flow };
    if (sharedBytes(tile) <= device.limits.maxComputeWorkgroupStorageSize) tiles.set(`${size} bk${bk} ${flow}`, tile);
    else console.log(`${size} bk${bk} ${flow}: more workgroup memory than the adapter has`);
  }
  const table: Record<string, Record<string, number | string>> = {};
  const keep = () => save(run.out, `gemm-${toggles}`, { adapter: device.adapter, ceilings, table });
  for (const { M, N, K, stored } of run.smoke ? smokeShapes : shapes) {
    if (over()) break;
    const [ta, tb] = [stored[0] === "T", stored[1] === "T"];
    const a = Tensor.from(uniform(M * K, 1), ta ? [K, M] : [M, K]),
      b = Tensor.from(uniform(K * N, 2), tb ? [N, K] : [K, N]);
    const name = `${M}x${N}x${K} ${stored}`;
    const plans = new Map<string, Plan<readonly Tensor[]>>();
    const began = performance.now();
    await Promise.all(
      [...tiles].map(async ([tile, variant]) => {
        const row = (table[tile] ??= {});
        try {
          plans.set(
            tile,
            await record(() => [
              gemm({ a: { tensor: a, transposed: ta }, b: { tensor: b, transposed: tb }, M, N, K, shape: [M, N], variant }).y,
            ]),
          );
        } catch (error) {
          row[name] = (error as Error).message.split("\n")[0]!;
        }
      }),
    );
    console.log(`${name}: compiled in ${Math.round(performance.now() - began)} ms`);
    const warm = performance.now();
    while (performance.now() - warm < 300)
      for (const plan of plans.values()) {
        plan.run();
        await plan.idle();
      } // an idle GPU takes its time to speed up
    for (const [tile, plan] of plans) {
      if (over()) break;
      const timed = async (times: number): Promise<number> => {
        const from = performance.now();
        for (let i = 0; i < times; i++) plan.run();
        await plan.idle();
        return (performance.now() - from) / times;
      };
      try {
        await timed(1);
        const times = Math.max(1, Math.ceil(25 / (await timed(1))));
        const ms = median([await timed(times), await timed(times), await timed(times)]);
        table[tile]![name] = round((2 * M * N * K) / ms / 1e9);
        console.log(`${name} ${tile}: ${ms.toFixed(3)} ms, ${table[tile]![name]} TFLOP/s`);
      } catch (error) {
        table[tile]![name] = (error as Error).message.split("\n")[0]!;
        console.log(`${name} ${tile}: ${table[tile]![name]}`);
      }
      keep();
    }
    for (const plan of plans.values()) plan.dispose();
    a.dispose();
    b.dispose();
  }
  // Correct? Each on a product with edges and one without, small enough to check in f64.
  let wrong = 0;
  for (const question of run.smoke
    ? ["gemm 1x130x132x40 NT"]
    : ["gemm 1x256x384x512 NN", "gemm 1x300x404x516 NT", "gemm 1x257x131x333 TN"]) {
    if (getDevice().lostError) break;
    const problem = gemmProblem(question, Object.fromEntries(tiles))!;
    for (const c of problem.candidates) {
      const plan = await record(() => c.run()).catch(() => null);
      if (!plan) continue;
      plan.run();
      const fault = problem.fault(await Promise.all(plan.result.map((t) => t.floats())));
      if (fault) {
        wrong++;
        console.log(`WRONG ${question} ${c.name}: ${fault}`);
      }
      plan.dispose();
    }
    problem.dispose();
  }
  keep();
  for (const [tile, row] of Object.entries(table))
    console.log(
      `${tile.padEnd(28)} ${Object.values(row)
        .map((v) => (typeof v === "number" ? v.toFixed(2) : "failed").padStart(7))
        .join(" ")}`,
    );
  if (wrong > 0) throw new Error(`gpu: expected every tile to be right, got ${wrong} results that were wrong`);
}
