/** A teacher in training sees what its student sees: the loss of a mixed batch as worked out here, and a cached teacher's answers. */
import { noGrad } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { createModel, type Model } from "../../models/model.ts";
import { initialState, loadParams, type State } from "../../models/params.ts";
import { answersOf, type OutsideTeacher } from "../../train/answers.ts";
import { sampleMixes } from "../../train/augment/mixup.ts";
import { recipeOrder } from "../../train/input/order.ts";
import { makeRecipe } from "../../train/recipe.ts";
import type { StepMetrics } from "../../train/train.ts";
import { close, refuses, type Case } from "../../checks/check.ts";
import { data, everything, PLAIN, run, student, teacher, teacherModel } from "../tiny-training.ts";

export const cases: Case[] = [
  {
    name: "training: the teacher sees the mixed images that the student sees, each shard mixed on its own; both terms of the loss as worked out here",
    async run() {
      const recipe = makeRecipe({
        epochs: 2,
        batchSize: 8,
        warmupEpochs: 1,
        distillation: "soft",
        tau: 2,
        reduction: "batchmean",
        alpha: 0.25,
        dropPath: 0,
        emaDecay: null,
        ...PLAIN,
        colorJitter: 0,
        repeats: 2,
        shards: 2,
      });
      const seed = 6,
        B = 8,
        K = 10,
        side = 16,
        per = 3 * side * side;
      const steps: StepMetrics[] = [];
      const head = teacher.state.get("head.weight")!;
      const sure = new Map([...teacher.state, ["head.weight", { ...head, data: head.data.map((v) => 100 * v) }]]);
      await run({
        recipe,
        seed,
        maxSteps: 1,
        teacher: { model: teacherModel, state: sure },
        onMetrics: (m) => {
          if (m.kind === "step") steps.push(m);
        },
      });
      const images = recipeOrder(data.train.count, seed, recipe)(0).images;
      const pixels = Array.from({ length: B }, (_, b) =>
        Array.from((data.train.at(images[b]!) as { data: Uint8Array }).data, (v) => (v / 255 - 0.5) / 0.25),
      );
      const records = sampleMixes(recipe, seed, 0, B, side, side, 4);
      const partner = (b: number) => b - (b % 4) + 3 - (b % 4);
      const mixed = Float32Array.from({ length: B * per }, (_, i) => {
        const b = Math.floor(i / per),
          at = i % per,
          [y, x] = [Math.floor(at / side) % side, at % side];
        const {
          mode,
          lam,
          box: [y0, y1, x0, x1],
        } = records[b]!;
        const [own, other] = [pixels[b]![at]!, pixels[partner(b)]![at]!];
        return mode === "cutmix" ? (y >= y0 && y < y1 && x >= x0 && x < x1 ? other : own) : lam * own + (1 - lam) * other;
      });
      const answer = async (model: Model, state: State, values: Float32Array) => {
        const params = loadParams("check", model.params, state);
        const { logitsCls, logitsDist } = noGrad(() => model.forward(params, Tensor.from(values, [B, 3, side, side])));
        return { cls: await logitsCls.floats(), dist: logitsDist && (await logitsDist.floats()) };
      };
      const logSoftmax = (logits: Float32Array, b: number, tau = 1) => {
        const row = Array.from(logits.subarray(b * K, (b + 1) * K), (v) => v / tau),
          most = Math.max(...row);
        const log = most + Math.log(row.reduce((s, v) => s + Math.exp(v - most), 0));
        return row.map((v) => v - log);
      };
      const mine = await answer(student, initialState(student.params, seed), mixed);
      const divergence = async (seen: Float32Array) => {
        const { cls } = await answer(teacherModel, sure, seen);
        let sum = 0;
        for (let b = 0; b < B; b++) {
          const [t, s] = [logSoftmax(cls, b, 2), logSoftmax(mine.dist!, b, 2)];
          t.forEach((v, k) => {
            sum += Math.exp(v) * (v - s[k]!);
          });
        }
        return (4 * sum) / B;
      };
      let base = 0;
      for (let b = 0; b < B; b++) {
        const target = (label: number, k: number) => 0.01 + (label === k ? 0.9 : 0);
        const [own, other] = [b, partner(b)].map((i) => data.train.label(images[i]!));
        const { mode, lam } = records[b]!;
        const share = mode === "none" ? 1 : lam;
        logSoftmax(mine.cls, b).forEach((v, k) => {
          base -= ((share * target(own!, k) + (1 - share) * target(other!, k)) * v) / B;
        });
      }
      const distill = await divergence(mixed);
      close("base", steps[0]!.base, base, 1e-5);
      close("distill", steps[0]!.distill, distill, 1e-5);
      close("loss", steps[0]!.loss, 0.75 * base + 0.25 * distill, 1e-5);
      const unmixed = await divergence(Float32Array.from(pixels.flat()));
      if (!(Math.abs(unmixed - distill) > 1e-3 * distill))
        throw new Error(`expected a teacher that answers otherwise without mixing, got ${unmixed} and ${distill}`);
    },
  },
  {
    name: "training: a cached teacher answers for images as they are what it answers at each step, both of its heads together",
    async run() {
      const both = createModel({ ...(teacherModel.config as object), distilled: true } as Record<string, unknown>);
      const first = initialState(both.params, 9);
      const state = new Map([
        ...first,
        ...["head.weight", "head_dist.weight"].map(
          (name) => [name, { ...first.get(name)!, data: first.get(name)!.data.map((v) => 100 * v) }] as const,
        ),
      ]);
      const recipe = {
        ...everything,
        ...PLAIN,
        colorJitter: 0,
        mixup: 0,
        cutmix: 0,
        dropPath: 0,
        distillation: "soft",
        reduction: "batchmean",
      } as const;
      const losses: number[][] = [];
      for (const cacheTeacher of [false, true]) {
        const seen: number[] = [];
        await run({
          recipe: { ...recipe, cacheTeacher },
          teacher: { model: both, state },
          maxSteps: 3,
          onMetrics: (m) => {
            if (m.kind === "step") seen.push(m.distill);
          },
        });
        losses.push(seen);
      }
      losses[0]!.forEach((v, i) => close(`step ${i}`, losses[1]![i]!, v, 1e-5 * (1 + v)));

      // The same teacher outside of the engine: the same student after 20 steps.
      const side = 16;
      const params = loadParams("outside", both.params, state);
      const outside: OutsideTeacher = async (x, count) => {
        const logits = await noGrad(() => both.forward(params, Tensor.from(x, [count, 3, side, side])).logits).floats();
        return { logits, numClasses: 10 };
      };
      const answers = { name: "outside", ...(await answersOf(outside, data.train, { side, ...data })) };
      const cached = { recipe: { ...recipe, cacheTeacher: true }, maxSteps: 20 };
      const [own, other] = [
        await run({ ...cached, teacher: { model: both, state } }),
        await run({ ...cached, teacher: undefined, answers }),
      ];
      for (const [name, { data }] of own.state) data.forEach((v, i) => close(`${name}[${i}]`, other.state.get(name)!.data[i]!, v, 1e-4));
      await refuses(
        () => run({ ...cached, teacher: undefined, answers: { ...answers, logits: answers.logits.subarray(10) } }) as never,
        /expected a teacher's answers \[80,10\], one row for each training image, got 790 values/,
      );
    },
  },
];
