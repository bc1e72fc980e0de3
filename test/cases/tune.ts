import { answer, tune } from "../../bench/tune/tune.ts";
import { DEFAULT, lacking, type Problem } from "../../checks/problem.ts";
import { modelQuestions, opQuestions, problemOf } from "../../bench/tune/questions.ts";
import { ops } from "../../checks/catalog.ts";
import { getDevice } from "../../engine/device.ts";
import { record } from "../../engine/plan.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { tuningInUse, useTuning } from "../../kernels/shared/tuning.ts";
import { matmul } from "../../kernels/matmul.ts";
import { mul } from "../../kernels/elementwise.ts";
import { attention } from "../../kernels/attention.ts";
import { createModel } from "../../models/model.ts";
import { refuses, uniform, type Case } from "../../checks/check.ts";

const same = (what: string, got: unknown, expected: unknown) => {
  if (JSON.stringify(got) !== JSON.stringify(expected))
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
};

/** With only some of the candidates: compiling all of them takes a processor long. */
async function withProblem(question: string, names: readonly string[], body: (problem: Problem) => Promise<void>): Promise<void> {
  const problem = problemOf(question);
  if (!problem) throw new Error(`expected a problem for ${question}, got none`);
  try {
    await body({ ...problem, candidates: problem.candidates.filter(({ name }) => names.includes(name)) });
  } finally {
    problem.dispose();
  }
}

const QUESTIONS = [
  ["gemm 1x37x41x19 NN", ["register-8x4", "shared-32x32"]],
  ["gemm 3x20x33x40 NT", ["register-4x4"]],
  ["gemm 2x9x12x300 TN", ["register-4x8", "register-flat-4x8"]],
  ["attention 1x2x9x9x8", ["batched", "register-32"]],
  ["attentionPacked 1x2x9x9x8 fwd+bwd", ["batched", "shared-64"]],
  ["layerNorm 5x12", ["shared", "register"]],
  ["softmax 5x7", ["shared", "register"]],
  ["logSoftmax 3x8", ["shared", "register"]],
] as const;

export const cases: Case[] = [
  ...QUESTIONS.map(
    ([question, names]): Case => ({
      name: `tune: ${question}, every kernel right`,
      run: () =>
        withProblem(question, [DEFAULT, ...names], async (problem) => {
          const { measured } = await tune(problem);
          same("candidates", measured.map(({ name }) => name).sort(), [DEFAULT, ...names].sort());
          same(
            "wrong",
            measured.filter(({ wrong }) => wrong),
            [],
          );
        }),
    }),
  ),
  ...(["gemm 1x37x41x19 NN", "attention 1x2x9x9x8 fwd+bwd", "layerNorm 5x12"] as const).flatMap((question) =>
    [0, 1].map(
      (late): Case => ({
        name: `tune: ${question}, a planted kernel that is ${late ? "off in its last element" : "half of what it should be"} is refused`,
        run: () =>
          withProblem(question, [DEFAULT], async (problem) => {
            const [right] = problem.candidates;
            const wrong = {
              name: "planted",
              needs: {},
              run() {
                const [y, ...rest] = right!.run() as [Tensor, ...Tensor[]];
                const factors = Tensor.from(
                  Float32Array.from({ length: y.size }, (_, i) => (late ? Number(i < y.size - 1) : 0.5)),
                  y.shape,
                );
                return [mul(y, factors), ...rest];
              },
            };
            const { choice, measured } = await tune({ ...problem, candidates: [...problem.candidates, wrong] });
            same("choice", choice, DEFAULT);
            const planted = measured.find(({ name }) => name === "planted");
            same("planted", [planted?.wrong, planted?.ms], [true, null]);
          }),
      }),
    ),
  ),
  {
    name: "tune: says so where no kernel is right",
    run: () =>
      withProblem("softmax 2x3", [DEFAULT], (problem) =>
        refuses(
          () => tune({ ...problem, fault: () => "y[0]: expected 1, got 2" }),
          /tune softmax 2x3: expected a kernel that is right, got none: default: y\[0\]: expected 1, got 2/,
        ),
      ),
  },
  {
    name: "tune: leaves out what the adapter lacks",
    run: () =>
      withProblem("softmax 2x3", [DEFAULT], async (problem) => {
        const { limits } = getDevice();
        const much = limits.maxComputeInvocationsPerWorkgroup + 1;
        const { measured } = await tune({
          ...problem,
          candidates: [
            ...problem.candidates,
            {
              name: "big",
              needs: { invocations: much },
              run: () => {
                throw new Error("expected not to run");
              },
            },
          ],
        });
        same("big", measured.find(({ name }) => name === "big")?.out, `this adapter lacks ${much} threads in a workgroup`);
        same("feature", lacking({ limits, features: new Set() }, { features: ["subgroups"] }), "subgroups");
      }),
  },
  {
    name: "tune: noise changes nothing, a clear win does",
    async run() {
      const q = { question: "q", flops: 0 };
      const contenders = (other: readonly number[]) => [
        { name: DEFAULT, samples: [10, 11, 10, 12, 10, 11, 10, 11, 10] },
        { name: "other", samples: other },
      ];
      same("2 % faster", answer(q, contenders([10, 10, 10, 10, 10, 10, 10, 10, 10].map((t) => t * 0.98))).choice, DEFAULT);
      same("faster in the middle, but wide", answer(q, contenders([6, 14, 9, 13, 5, 12, 9, 13, 8])).choice, DEFAULT);
      same(
        "twice as fast",
        [answer(q, contenders([5, 5, 6, 5, 5, 5, 6, 5, 5])).choice, answer(q, contenders([5, 5, 6, 5, 5, 5, 6, 5, 5])).gain],
        ["other", 2],
      );
    },
  },
  {
    name: "tune: samples are long enough for a clock of 65,536 ns, also where the adapter becomes faster meanwhile",
    run: () =>
      withProblem("softmax 2x3", [DEFAULT], async (problem) => {
        // Such a clock shows multiples of its step; a sample of 20 ms is off by 0.3 % at most.
        const step = 0.065536;
        const spans: number[] = [];
        let [real, shown, last] = [performance.now(), 0, 0];
        await tune(problem, () => {
          // After a few samples the clock runs at a quarter of its rate, as if the adapter ran four times as fast.
          const speed = spans.filter((s) => s > 15).length < 4 ? 1 : 1 / 4;
          const now = performance.now();
          shown += speed * (now - real);
          real = now;
          const ticks = Math.floor(shown / step) * step;
          spans.push(ticks - last);
          last = ticks;
          return ticks;
        });
        const long = spans.filter((s) => s > 20 - step).length;
        if (long < 9) throw new Error(`expected at least 9 samples of 20 ms, got ${long}`);
      }),
  },
  ...(
    [
      ["attention 1x2x5x5x4", 1],
      ["attention 1x2x5x5x4 fwd+bwd", 4],
      ["attentionPacked 1x2x5x5x4", 1],
      ["attentionPacked 1x2x5x5x4 fwd+bwd", 2],
    ] as const
  ).map(
    ([question, results]): Case => ({
      name: `tune: ${question} is what is timed, with gradients or without`,
      run: () =>
        withProblem(question, [DEFAULT], async (problem) => {
          const made = problem.candidates[0]!.run();
          same("results", made.length, results);
          same("fault", problem.fault((await readAll(made)) as Float32Array[]), null);
          for (const t of made) t.dispose();
        }),
    }),
  ),
  { name: "tune: kernels go by the table, and by themselves without one", run: obeyed },
  {
    name: "tune: what a model asks can be posed again",
    async run() {
      const model = createModel({ arch: "deit", imgSize: 16, patchSize: 8, dim: 24, depth: 2, heads: 2, numClasses: 5, distilled: true });
      const [forward, training] = [modelQuestions(model, 2, false), modelQuestions(model, 2, true)];
      for (const question of [...forward, ...training, ...opQuestions(ops["linear"]!, "3x4x5", true)]) {
        const problem = problemOf(question);
        if (!problem) throw new Error(`expected a problem for "${question}", got none`);
        problem.dispose();
      }
      for (const wanted of ["gemm 1x12x24x96 NT", "attentionPacked 2x2x6x6x12", "attentionPacked 2x2x2x6x12", "layerNorm 12x24"])
        if (!forward.includes(wanted)) throw new Error(`expected ${wanted}, got ${forward.join("; ")}`);
      for (const wanted of ["gemm 1x24x96x12 TN", "attentionPacked 2x2x6x6x12 fwd+bwd"])
        if (!training.includes(wanted)) throw new Error(`expected ${wanted}, got ${training.join("; ")}`);
    },
  },
];

async function obeyed(): Promise<void> {
  const before = tuningInUse();
  const [a, b] = [Tensor.from(uniform(6 * 5, 1), [6, 5]), Tensor.from(uniform(5 * 7, 2), [5, 7])];
  const q = Tensor.from(uniform(2 * 5 * 4, 3), [1, 2, 5, 4]);
  const run = async (choices: Readonly<Record<string, string>> | null) => {
    useTuning(choices && { source: "this test", choices });
    const plan = await record(() => [matmul(a, b), attention(q, q, q)]);
    plan.run();
    const values = await Promise.all(plan.result.map((t) => t.read()));
    const { kernels } = plan;
    plan.dispose();
    return { kernels, values: values.map((v) => [...v]) };
  };
  try {
    const { software, features } = getDevice().adapter;
    const usual = await run(null);
    same("kernels without a table", usual.kernels, [
      software ? (features.includes("subgroups") ? "gemm.subgroup" : "gemm.register") : "gemm.shared",
      "attention.forward",
    ]);
    const other = software ? "shared-32x32" : "register-4x4";
    const table = { "gemm 1x6x7x5 NN": other, "attention 1x2x5x5x4": "batched" };
    const tuned = await run(table);
    same("kernels by the table", [tuned.kernels[0], tuned.kernels.length], [software ? "gemm.shared" : "gemm.register", 4]);
    same("the same table again", (await run(table)).values, tuned.values);
    same("names of no kernel", (await run({ "gemm 1x6x7x5 NN": "fast", "attention 1x2x5x5x4": "default" })).kernels, usual.kernels);
    same("questions of other shapes", (await run({ "gemm 1x6x7x6 NN": other })).kernels, usual.kernels);
  } finally {
    useTuning(before);
    for (const t of [a, b, q]) t.dispose();
  }
}
