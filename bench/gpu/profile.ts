/** The step that says where a training step's time goes: launches by kernel, by the GPU's own clock. */
import { gradients, noGrad } from "../../engine/autograd.ts";
import { record, type Plan } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { ATTENTION_VARIANTS, attentionPacked } from "../../kernels/attention.ts";
import { uniform } from "../../checks/check.ts";
import { inputsOf } from "../benchmark.ts";
import { ours } from "../ours.ts";
import { median } from "../stats.ts";
import { modelCase, type Size } from "./cases.ts";
import { open, save, type Run } from "./step.ts";

export interface Profile {
  readonly name: string;
  /** Wall time of a step, and the sum of its launches. */
  readonly ms: number;
  readonly gpuMs: number;
  readonly kernels: readonly { readonly kernel: string; readonly ms: number; readonly launches: number }[];
}

export async function profile(run: Run, version: string): Promise<void> {
  await open("safe", run);
  const profiles: Profile[] = [];
  for (const [mode, size, batch] of [
    ["train", "small", 128],
    ["forward", "small", 128],
    ["train", "tiny", 256],
  ] as const)
    profiles.push(await one(mode, size, run.smoke ? 2 : batch, run.smoke, version));
  const attention = run.smoke
    ? await attentions(2, 2, 17, 8)
    : [...(await attentions(128, 6, 197, 64)), ...(await attentions(16, 12, 577, 64))];
  save(run.out, "profile", { profiles, attention });
}

/** Attention's kernels side by side, as a model has it: q, k and v in one tensor. */
async function attentions(B: number, H: number, N: number, D: number) {
  const qkv = Tensor.from(uniform(B * N * 3 * H * D, 1), [B, N, 3 * H * D]);
  const dy = Tensor.from(uniform(B * N * H * D, 2), [B, N, H * D]);
  const found: { variant: string; ms: number; msBackward: number; flops: number }[] = [];
  for (const variant of ATTENTION_VARIANTS.filter((v) => !v.startsWith("register"))) {
    const timed = async (plan: Plan<unknown>): Promise<number> => {
      const samples: number[] = [];
      const from = performance.now();
      do {
        plan.run();
        await plan.idle();
      } while (performance.now() - from < 300); // an idle GPU takes its time to speed up
      for (let i = 0; i < 4; i++) {
        const from = performance.now();
        for (let j = 0; j < 5; j++) plan.run();
        await plan.idle();
        samples.push((performance.now() - from) / 5);
      }
      plan.dispose();
      return median(samples);
    };
    try {
      const ms = await timed(await record(() => noGrad(() => attentionPacked(qkv, { heads: H, variant }))));
      qkv.requiresGrad = true;
      const both = await timed(await record(() => gradients(attentionPacked(qkv, { heads: H, variant }), [qkv], dy)));
      qkv.requiresGrad = false;
      found.push({ variant, ms, msBackward: both - ms, flops: 4 * B * H * N * N * D });
      console.log(
        `attention B${B} H${H} N${N} D${D} ${variant}: ${ms.toFixed(3)} ms, ${((4 * B * H * N * N * D) / ms / 1e9).toFixed(2)} TFLOP/s; backward ${(both - ms).toFixed(3)} ms, ${((8 * B * H * N * N * D) / (both - ms) / 1e9).toFixed(2)} TFLOP/s without what is made again`,
      );
    } catch (error) {
      console.log(`attention ${variant}: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  qkv.dispose();
  dy.dispose();
  return found;
}

async function one(mode: "train" | "forward", size: Size, batch: number, smoke: boolean, version: string): Promise<Profile> {
  const c = modelCase(mode, size, batch, smoke);
  const prepared = await ours(version).prepare(c, inputsOf(c));
  await prepared.run(3);
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const from = performance.now();
    await prepared.run(2);
    times.push((performance.now() - from) / 2);
  }
  const launches = (await prepared.profile?.()) ?? [];
  prepared.dispose();
  const by = new Map<string, { ms: number; launches: number }>();
  for (const { kernel: name, groups, ms } of launches) {
    const kernel = `${name} x${groups}`;
    const sum = by.get(kernel) ?? { ms: 0, launches: 0 };
    by.set(kernel, { ms: sum.ms + ms, launches: sum.launches + 1 });
  }
  const kernels = [...by].map(([kernel, sum]) => ({ kernel, ...sum })).sort((a, b) => b.ms - a.ms);
  const found = { name: c.name, ms: median(times), gpuMs: kernels.reduce((sum, k) => sum + k.ms, 0), kernels };
  console.log(
    `${found.name}: ${found.ms.toFixed(2)} ms, ${((1000 * batch) / found.ms).toFixed(0)} images/s; launches ${found.gpuMs.toFixed(2)} ms`,
  );
  for (const k of kernels.slice(0, 24)) console.log(`  ${k.kernel.padEnd(32)} ${k.ms.toFixed(3).padStart(9)} ms in ${k.launches}`);
  return found;
}
