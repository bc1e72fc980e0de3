/** `op NAME --check`: the operation's own test cases (forward against f64, gradients along directions), then its speed. */
import type { Benchmark } from "../bench/benchmark.ts";
import { chosenCases } from "../bench/cases.ts";
import { measureCeilings, type Ceilings } from "../bench/ceilings.ts";
import { ours } from "../bench/ours.ts";
import { limitsFor, measure } from "../bench/run.ts";
import { opQuestions } from "../bench/tune/questions.ts";
import { getDevice } from "../engine/device.ts";
import { ShaderError } from "../engine/errors.ts";
import { useTuning } from "../kernels/shared/tuning.ts";
import { casesOf, checkVariant, opNamed } from "../checks/catalog.ts";
import { refusing } from "./errors.ts";
import type { Host } from "./host.ts";

export interface CheckArgs {
  readonly name: string;
  readonly variant?: string | undefined;
}

export interface Speed {
  readonly name: string;
  readonly ms: number;
  readonly gflops: number | null;
  readonly gbps: number | null;
}

export interface CheckResult {
  readonly passed: number;
  readonly skipped: number;
  readonly failures: readonly { readonly name: string; readonly reason: string }[];
  /** A shader that did not compile: with its message, no further case is run. */
  readonly broken: string | null;
  readonly speeds: readonly Speed[];
  readonly ceilings: Ceilings | null;
}

export default async function checkOpJob(host: Host, { name, variant }: CheckArgs): Promise<CheckResult> {
  const op = refusing(() => opNamed(name));
  refusing(() => checkVariant(op, variant));
  const cases = casesOf(op, variant);
  const { features, adapter } = getDevice();
  let passed = 0,
    skipped = 0;
  const failures: { name: string; reason: string }[] = [];
  for (const [i, one] of cases.entries()) {
    host.progress({ label: `${name}: checks`, done: i, total: cases.length, note: one.name });
    if (one.needs?.some((f) => !features.has(f))) {
      skipped++;
      continue;
    }
    try {
      await one.run();
      passed++;
    } catch (error) {
      if (error instanceof ShaderError) return { passed, skipped, failures, broken: excerpt(error), speeds: [], ceilings: null };
      failures.push({ name: one.name, reason: (error as Error).message.split("\n")[0]! });
    }
  }
  const set = adapter.software ? "software" : "gpu";
  const timed = timedCases(
    chosenCases(set, { suite: "kernels", quick: false, only: "" }).filter((c) => "sizes" in c.work && c.work.op === name),
  );
  if (failures.length > 0 || timed.length === 0) return { passed, skipped, failures, broken: null, speeds: [], ceilings: null };
  const ceilings = await measureCeilings(set);
  const speeds: Speed[] = [];
  for (const c of timed) {
    if (variant !== undefined)
      useTuning({
        source: "--variant",
        choices: Object.fromEntries([false, true].flatMap((b) => opQuestions(op, sizesOf(c), b)).map((q) => [q, variant])),
      });
    host.progress({ label: `${name}: timing`, done: speeds.length, total: timed.length, note: c.name });
    const { ours: time, gflops, gbps } = await measure(c, ours("this tree"), [], { limits: limitsFor(set, true) });
    if ("error" in time) throw new Error(`${c.name}: ${time.error}`);
    speeds.push({ name: c.name, ms: time.medianMs, gflops, gbps });
  }
  return { passed, skipped, failures, broken: null, speeds, ceilings };
}

const sizesOf = ({ work }: Benchmark): string => ("sizes" in work ? work.sizes : "");

/** The smallest shape, forward and with gradients. */
function timedCases(cases: readonly Benchmark[]): Benchmark[] {
  const [first] = cases.filter(({ backward }) => !backward).sort((a, b) => a.flops - b.flops || a.bytes - b.bytes);
  return first ? [first, ...cases.filter(({ backward, name }) => backward && name === `${first.name} fwd+bwd`)] : [];
}

/** The compiler's message and the lines around it. */
function excerpt({ message, line, code }: ShaderError): string {
  const lines = code.split("\n");
  const from = Math.max(0, line - 3);
  return [
    message.split("\n")[0],
    ...lines.slice(from, line + 2).map((text, i) => `${from + i + 1 === line ? ">" : " "}${String(from + i + 1).padStart(4)} ${text}`),
  ].join("\n");
}
