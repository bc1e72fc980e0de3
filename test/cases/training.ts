/** Whole training runs on a tiny student: the same bits twice and across a stop, flat memory, refusals, and learning. */
import { getDevice } from "../../engine/device.ts";
import { philox } from "../../engine/random.ts";
import { noGrad } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { createModel, type Model } from "../../models/model.ts";
import { initialState, loadParams, type State } from "../../models/params.ts";
import { readWeights } from "../../models/checkpoints/weights.ts";
import { CIFAR10_CLASSES, type ImageSet } from "../../train/data/dataset.ts";
import { memoryOnly } from "../../train/input/memory.ts";
import { memorySource } from "../../train/input/source.ts";
import { sampleMixes } from "../../train/augment/mixup.ts";
import { recipeOrder } from "../../train/input/order.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { train, type StepMetrics, type TrainOptions, type TrainResult } from "../../train/train.ts";
import { close, refuses, type Case } from "../../checks/check.ts";

/** Images whose class shows: a bright square at one of ten places, over noise. */
function squares(count: number, side: number, seed: number): ImageSet {
  const images = new Uint8Array(count * 3 * side * side);
  const labels = Uint8Array.from({ length: count }, (_, n) => n % 10);
  for (let i = 0; i < images.length; i++) images[i] = philox([i, 0, 0, 0], [seed, 0])[0] >>> 26;
  for (let n = 0; n < count; n++) {
    const [y, x] = [Math.floor(labels[n]! / 5) * 8, (labels[n]! % 5) * 3];
    for (let c = 0; c < 3; c++) for (let k = 0; k < 16; k++) images[((n * 3 + c) * side + y + (k >> 2)) * side + x + (k & 3)] = 230;
  }
  return { images, labels, count, classes: CIFAR10_CLASSES, shape: [3, side, side] };
}

const student = createModel({ arch: "deit", imgSize: 16, patchSize: 4, dim: 16, depth: 2, heads: 2, numClasses: 10, distilled: true });
const plain = createModel({ arch: "deit", imgSize: 16, patchSize: 4, dim: 16, depth: 2, heads: 2, numClasses: 10 });
const teacherModel = createModel({ arch: "deit", imgSize: 16, patchSize: 4, dim: 16, depth: 1, heads: 2, numClasses: 10 });
const teacher = { model: teacherModel, state: initialState(teacherModel.params, 9) };
const source = (count: number, side: number, seed: number) => memorySource(squares(count, side, seed), "squares");
const data = {
  train: source(80, 16, 1),
  test: source(20, 16, 2),
  platform: memoryOnly,
  normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
};

/** Images as they are. */
const PLAIN = { crop: "none", hflip: 0, autoAugment: null, erasing: 0, repeats: 1 } as const;

/** Everything on at once: distillation, mixing, dropped paths, crops, the average. */
const everything = makeRecipe({
  epochs: 5,
  batchSize: 16,
  lr: 0.02,
  warmupEpochs: 1,
  distillation: "hard",
  dropPath: 0.3,
  emaDecay: 0.9,
  cropPadding: 2,
});

const run = (o: Partial<TrainOptions> = {}): Promise<TrainResult> =>
  train({ model: student, recipe: everything, seed: 3, teacher, ...data, evalEvery: 100, ...o });

function sameBits(what: string, a: TrainResult, b: TrainResult): void {
  for (const part of ["state", "ema"] as const) {
    for (const [name, { data: x }] of a[part]!) {
      const y = b[part]!.get(name)!.data;
      for (let i = 0; i < x.length; i++)
        if (!Object.is(x[i], y[i])) throw new Error(`${what}: ${part} ${name}[${i}]: expected ${x[i]}, got ${y[i]}`);
    }
  }
}

/** A run that is stopped after `steps` steps: its checkpoint. */
async function stopAt(steps: number): Promise<Uint8Array> {
  let saved: Uint8Array | undefined;
  let done = 0;
  await run({
    maxSteps: 20,
    shouldStop: () => ++done === steps,
    onCheckpoint: async (bytes) => {
      saved = bytes;
    },
  });
  return saved!;
}

export const cases: Case[] = [
  {
    name: "training: the same seed gives the same bits after 20 steps, another seed others",
    async run() {
      const first = await run({ maxSteps: 20 });
      sameBits("twice", first, await run({ maxSteps: 20 }));
      await refuses(async () => sameBits("other seed", first, await run({ maxSteps: 20, seed: 4 })), /other seed/);
    },
  },
  {
    name: "training: images that come as patches give the bits of images that come whole",
    async run() {
      const seen = new Set<number>();
      const watched = (model: Model, patch = model.patch): Model => ({
        ...model,
        patch,
        forward: (p, x, o) => (seen.add(x.shape.length), model.forward(p, x, o)),
      });
      const ranks = async (expected: string, o: Partial<TrainOptions>): Promise<TrainResult> => {
        seen.clear();
        const result = await run({ maxSteps: 8, ...o });
        if (String([...seen].sort()) !== expected) throw new Error(`ranks of inputs: expected ${expected}, got ${[...seen].sort()}`);
        return result;
      };
      // Evaluation reads images.
      const patches = await ranks("3,4", { model: watched(student) });
      sameBits(
        "patches",
        await ranks("4", { model: watched(student, null), teacher: { ...teacher, model: watched(teacherModel, null) } }),
        patches,
      );
      await ranks("4", { model: watched(student), teacher: { ...teacher, model: watched(teacherModel, null) } }); // a teacher that wants them whole
    },
  },
  {
    name: "training: stopped in the middle of an epoch and resumed, the same bits",
    async run() {
      const unbroken = await run({ maxSteps: 20 });
      const resumed = await run({ maxSteps: 20, resume: await stopAt(12) }); // epochs have 5 steps
      if (resumed.position.step !== 20) throw new Error(`step: expected 20, got ${resumed.position.step}`);
      sameBits("resumed", unbroken, resumed);
    },
  },
  {
    name: "training: a checkpoint of another model, seed or recipe is refused; its weights can be read",
    async run() {
      const saved = await stopAt(2);
      await refuses(() => run({ resume: saved, seed: 5 }), /resume: expected a checkpoint with seed 5, got 3/);
      await refuses(
        () => run({ resume: saved, recipe: { ...everything, lr: 0.5 } }),
        /resume: expected a checkpoint with lr 0.5, got 0.02/,
      );
      await refuses(
        () => run({ resume: saved, model: plain, recipe: { ...everything, distillation: "none" }, teacher: undefined }),
        /resume: expected a checkpoint with model/,
      );
      await refuses(() => run({ resume: saved.slice(0, saved.length - 4) }), /safetensors/);
      const names = [...readWeights(saved).state.keys()].sort();
      if (String(names) !== String(student.params.map((p) => p.name).sort())) throw new Error(`names: got ${names}`);
    },
  },
  {
    name: "training: what ends before its first step leaves no memory taken",
    async run() {
      const saved = await stopAt(2);
      const compiling = (done: number) => {
        if (done > 1) throw new Error("stopped while compiling");
      };
      const { stats } = getDevice();
      for (const [o, why] of [
        [{ resume: saved, seed: 5 }, /checkpoint with seed 5/],
        [{ onCompile: compiling }, /stopped while compiling/],
        [{ recipe: { ...everything, cacheTeacher: true }, onCompile: compiling }, /stopped while compiling/],
      ] as const) {
        const before = stats.bytesLive;
        await refuses(() => run(o), why);
        if (stats.bytesLive !== before) throw new Error(`${why}: expected ${before} bytes live as before, got ${stats.bytesLive}`);
      }
    },
  },
  {
    name: "training: two batches for one update, cached teacher, one token, LAMB, dropout, only the attention trained: the same bits twice, and finite",
    async run() {
      const recipe = {
        ...everything,
        accumulate: 2,
        cacheTeacher: true,
        singleToken: true,
        optimizer: "lamb",
        dropout: 0.1,
        trainOnly: "attention",
        mixMode: "elem",
      } as const;
      const steps: StepMetrics[] = [];
      const o = { model: plain, recipe, maxSteps: 6 };
      const first = await run({
        ...o,
        onMetrics: (m) => {
          if (m.kind === "step") steps.push(m);
        },
      });
      sameBits("twice", first, await run(o));
      if (steps.length !== 6 || steps.some((s) => !s.finite || !(s.loss > 0) || !(s.distill > 0)))
        throw new Error(`expected 6 finite steps, got ${JSON.stringify(steps)}`);
      const start = initialState(plain.params, 3);
      for (const [name, { data: x }] of first.state) {
        const changed = x.some((v, i) => v !== start.get(name)!.data[i]);
        const expected = /^head\.|^pos_embed$|\.attn\./.test(name);
        if (changed !== expected) throw new Error(`${name}: expected ${expected ? "a change" : "none"}, got the other`);
      }
    },
  },
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
    },
  },
  {
    name: "training: two half batches give the update of one whole batch",
    async run() {
      // Nothing random and nothing that goes by the batch, so that only rounding differs.
      const recipe = { ...everything, ...PLAIN, mixup: 0, cutmix: 0, dropPath: 0, emaDecay: null, lr: 1e-3, optimizer: "sgd" } as const;
      const [whole, halves] = [await run({ recipe, maxSteps: 3 }), await run({ recipe: { ...recipe, accumulate: 2 }, maxSteps: 3 })];
      for (const [name, { data: x }] of whole.state) x.forEach((v, i) => close(`${name}[${i}]`, halves.state.get(name)!.data[i]!, v, 1e-6));
    },
  },
  {
    name: "training: a run gives all its memory back",
    async run() {
      const before = { ...getDevice().stats };
      await run({ maxSteps: 3 });
      const { bytesLive, tensorsLive } = getDevice().stats;
      if (bytesLive !== before.bytesLive || tensorsLive !== before.tensorsLive) {
        throw new Error(`expected ${before.bytesLive} bytes in ${before.tensorsLive} tensors, got ${bytesLive} in ${tensorsLive}`);
      }
    },
  },
  {
    name: "training: learns what can be learnt, without a teacher too",
    async run() {
      const recipe = makeRecipe({
        epochs: 60,
        batchSize: 16,
        lr: 5e-3,
        labelSmoothing: 0,
        scaleLr: false,
        schedule: "step",
        warmupEpochs: 1,
        mixup: 0,
        cutmix: 0,
        dropPath: 0,
        emaDecay: null,
        ...PLAIN,
      });
      const { epochs } = await train({ model: plain, recipe, seed: 1, ...data, evalEvery: 60 });
      const { top1 } = epochs.at(-1)!.test.model;
      if (top1 < 0.95) throw new Error(`top-1: expected at least 0.95 on squares that show their class, got ${top1}`);
    },
  },
  {
    name: "training: gradients that are not finite are reported and change nothing; a run of them ends it",
    async run() {
      const state = new Map(initialState(student.params, 3));
      const { shape, data: weight } = state.get("head.weight")!;
      state.set("head.weight", { shape, data: weight.map(() => 3e38) }); // finite, but its products are not
      const steps: StepMetrics[] = [];
      const recipe = { ...everything, emaDecay: null };
      let saved: Uint8Array | undefined;
      const broken = run({
        initial: state,
        recipe,
        maxSteps: 3,
        saveEvery: 2,
        onCheckpoint: async (bytes) => {
          saved = bytes;
        },
        onMetrics: (m) => {
          if (m.kind === "step") steps.push(m);
        },
      });
      await refuses(() => broken, /evaluate: expected finite logits/);
      if (steps.length !== 3 || steps.some((s) => s.finite))
        throw new Error(`finite: expected false 3 times, got ${steps.map((s) => s.finite)}`);
      const after = readWeights(saved!).state;
      for (const [name, { data: was }] of state)
        if (after.get(name)!.data.some((v, i) => v !== was[i])) throw new Error(`${name}: expected no change`);
      await refuses(() => run({ initial: state, recipe }), /expected finite gradients, got 20 updates in a row without/);
      state.set("head.weight", { shape, data: weight.map(() => NaN) });
      await refuses(() => run({ initial: state }), /not finite: head.weight/);
    },
  },
  {
    name: "training: the share of a step that waits for images is of the whole step, the GPU's part included",
    async run() {
      // Images that take 0.2 ms each to look up, a student that takes far longer to train.
      const slow = {
        ...data.train,
        at: (i: number) => {
          for (const untilMs = performance.now() + 0.2; performance.now() < untilMs; );
          return data.train.at(i);
        },
      };
      const steps: StepMetrics[] = [];
      const { epochs } = await run({
        train: slow,
        maxSteps: 20,
        evalEvery: 1,
        onMetrics: (m) => {
          if (m.kind === "step") steps.push(m);
        },
      });
      // Of one epoch of five steps the machine makes what it likes; the median step lies between what all four epochs make of theirs.
      const shares = epochs.map((m) => m.inputWait),
        step = steps.map((m) => m.inputWait).sort((a, b) => a - b)[10]!;
      if (!(step > 0 && step < 1 && step < 2 * Math.max(...shares) && step > Math.min(...shares) / 2))
        throw new Error(`expected a step's share near its epochs' ${shares}, got ${step}`);
    },
  },
  {
    name: "training: contradictory settings and unfit data are refused",
    async run() {
      await refuses(() => run({ teacher: undefined }), /recipe: expected a teacher for distillation "hard", got none/);
      await refuses(() => run({ model: plain }), /expected a student with a distillation token/);
      const five = createModel({ ...(teacherModel.config as object), numClasses: 5 } as Record<string, unknown>);
      await refuses(
        () => run({ teacher: { model: five, state: initialState(five.params, 1) } }),
        /expected a teacher of 10 classes, got 5/,
      );
      await refuses(() => run({ recipe: { ...everything, batchSize: 88 } }), /expected at least a batch of 88 images, got 80/);
      await refuses(
        () => run({ recipe: { ...everything, accumulate: 3 } }),
        /expected a batch that 3 equal batches make up, got 16 images/,
      );
      await refuses(
        () => run({ recipe: { ...everything, singleToken: true } }),
        /expected a student without a distillation token for singleToken/,
      );
      await refuses(
        () => run({ recipe: { ...everything, distillation: "none" } }),
        /expected distillation "soft" or "hard" with a teacher, got "none"/,
      );
      await refuses(() => makeRecipe({ epoch: 3 }), /recipe: .*epoch/);
      await refuses(() => makeRecipe({ dropPath: 2 }), /recipe: dropPath/);
    },
  },
];
