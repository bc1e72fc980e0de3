/**
 * Measures which kernel answers a question best on the current adapter.
 *
 * Every candidate is checked first; a wrong one is dropped and reported. Samples are of many runs and one wait, by the wall
 * clock and at least `SAMPLE_MS` long, so that neither the steps of a page's clock nor those of a GPU's quantised one
 * (65,536 ns) matter; candidates take turns, in the other direction each time. Another kernel than the default is chosen
 * only where it is faster beyond doubt: noise changes nothing.
 */
import { getDevice } from "../../engine/device.ts";
import { trimPool } from "../../engine/launch.ts";
import { record, type Plan } from "../../engine/plan.ts";
import { readAll, type Tensor } from "../../engine/tensor.ts";
import { median, medianInterval, round } from "../stats.ts";
import { DEFAULT, lacking, type Problem } from "../../checks/problem.ts";

const SAMPLE_MS = 20;
const ROUNDS = 9;
const WARM_MS = 300;
/** Candidates slower than the best by this factor in the first round are not timed further. */
const HOPELESS = 1.5;
/** Factor by which another kernel must beat the default. */
const MARGIN = 1.03;

export interface Measurement {
  readonly name: string;
  /** Of one run; `null` where it was not timed. */
  readonly ms: number | null;
  /** Why it was not timed, or dropped. */
  readonly out?: string;
  /** Its results were wrong. */
  readonly wrong?: boolean;
}

export interface Answer {
  readonly question: string;
  readonly flops: number;
  /** DEFAULT where no other kernel is faster beyond doubt. */
  readonly choice: string;
  /** The default's time over the choice's. */
  readonly gain: number;
  readonly measured: readonly Measurement[];
}

interface Contender {
  readonly name: string;
  readonly plan: Plan<readonly Tensor[]>;
  readonly samples: number[];
}

export async function tune(problem: Problem, now: () => number = () => performance.now()): Promise<Answer> {
  const out: Measurement[] = [];
  const contenders: Contender[] = [];
  try {
    for (const { name, needs, run } of problem.candidates) {
      const lacks = lacking(getDevice(), needs);
      if (lacks) {
        out.push({ name, ms: null, out: `this adapter lacks ${lacks}` });
        continue;
      }
      const plan = await record(run, { label: `tune ${name}` });
      plan.run();
      const fault = problem.fault((await readAll(plan.result)) as Float32Array[]);
      if (fault) {
        plan.dispose();
        out.push({ name, ms: null, out: fault, wrong: true });
      } else contenders.push({ name, plan, samples: [] });
    }
    return await race(problem, contenders, out, now);
  } finally {
    for (const { plan } of contenders) plan.dispose();
    trimPool();
  }
}

async function race(problem: Problem, contenders: readonly Contender[], out: Measurement[], now: () => number): Promise<Answer> {
  if (contenders.length === 0)
    throw new Error(
      `tune ${problem.question}: expected a kernel that is right, got none: ${out.map((m) => `${m.name}: ${m.out}`).join("; ")}`,
    );
  const timed = async (plan: Contender["plan"], times: number): Promise<number> => {
    const from = now();
    for (let i = 0; i < times; i++) plan.run();
    await plan.idle();
    return (now() - from) / times;
  };
  // An idle GPU clocks a fifth of its best, and takes its time to speed up.
  const warmUntil = now() + (getDevice().adapter.software ? 0 : WARM_MS);
  while (now() < warmUntil) for (const { plan } of contenders) await timed(plan, 1);
  const rough = new Map<Contender, number>();
  for (const contender of contenders) rough.set(contender, Math.min(await timed(contender.plan, 1), await timed(contender.plan, 2)));
  const best = Math.min(...rough.values());
  const kept = contenders.filter((r) => r.name === DEFAULT || rough.get(r)! <= HOPELESS * best);
  for (const r of contenders)
    if (!kept.includes(r)) out.push({ name: r.name, ms: round(rough.get(r)!), out: `more than ${HOPELESS} times the best` });
  // One run and its wait take far longer than their share of many: the count grows until the sample is long enough, also later on,
  // where a processor has become faster since.
  const counts = new Map<Contender, number>();
  const sample = async (contender: Contender): Promise<number> => {
    for (let times = counts.get(contender) ?? 1; ; ) {
      const ms = await timed(contender.plan, times),
        span = times * ms;
      counts.set(contender, times);
      if (span >= SAMPLE_MS) return ms;
      times = Math.ceil(times * Math.min(10, Math.max(1.5, (1.2 * SAMPLE_MS) / Math.max(1e-3, span))));
    }
  };
  for (const contender of kept) await sample(contender);
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const contender of turn % 2 === 0 ? kept : kept.toReversed()) contender.samples.push(await sample(contender));
  }
  return answer(problem, kept, out);
}

/** Exported for tests: the judgement alone. */
export function answer(
  { question, flops }: Pick<Problem, "question" | "flops">,
  contenders: readonly { readonly name: string; readonly samples: readonly number[] }[],
  out: readonly Measurement[] = [],
): Answer {
  const byTime = contenders
    .map(({ name, samples }) => ({ name, ms: median(samples), interval: medianInterval(samples) }))
    .sort((a, b) => a.ms - b.ms);
  const first = byTime[0]!,
    usual = byTime.find(({ name }) => name === DEFAULT);
  const surely = !usual || (usual.ms >= MARGIN * first.ms && first.interval[1] < usual.interval[0]);
  const choice = surely ? first : usual;
  return {
    question,
    flops,
    choice: choice.name,
    gain: usual ? round(usual.ms / choice.ms) : 1,
    measured: [...byTime.map(({ name, ms }) => ({ name, ms: round(ms) })), ...out],
  };
}
