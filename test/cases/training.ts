/** Whole runs on a tiny student give the same bits twice and across a stop, keep memory flat, refuse what does not fit, and learn. */
import { getDevice } from "../../engine/device.ts";
import { createModel, type Model } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { readWeights } from "../../models/checkpoints/weights.ts";
import { makeRecipe } from "../../train/recipe.ts";
import { train, type StepMetrics, type TrainOptions, type TrainResult } from "../../train/train.ts";
import { close, refuses, type Case } from "../../checks/check.ts";
import { data, everything, PLAIN, plain, run, student, teacher, teacherModel } from "../tiny-training.ts";

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
    long: true,
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
        // What earlier cases dropped may be collected meanwhile.
        if (stats.bytesLive > before) throw new Error(`${why}: expected at most ${before} bytes live, as before, got ${stats.bytesLive}`);
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
      // What earlier cases dropped may be collected during a run, and hide what it keeps; but not during each of three.
      const grown: { bytes: number; tensors: number }[] = [];
      for (let i = 0; i < 3; i++) {
        const before = { ...getDevice().stats };
        await run({ maxSteps: 3 });
        const { bytesLive, tensorsLive } = getDevice().stats;
        grown.push({ bytes: bytesLive - before.bytesLive, tensors: tensorsLive - before.tensorsLive });
      }
      if (grown.some(({ bytes, tensors }) => bytes > 0 || tensors > 0))
        throw new Error(`expected no more memory after a run than before, got ${JSON.stringify(grown)}`);
    },
  },
  {
    name: "training: learns what can be learnt, without a teacher too",
    long: true,
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
    name: "training: says of every step and epoch what share of it waited for images",
    async run() {
      const steps: StepMetrics[] = [];
      const { epochs } = await run({ maxSteps: 10, evalEvery: 1, onMetrics: (m) => m.kind === "step" && steps.push(m) });
      if (steps.length !== 10 || epochs.length !== 2)
        throw new Error(`expected 10 steps of 2 epochs, got ${steps.length} of ${epochs.length}`);
      for (const { inputWait } of [...steps, ...epochs])
        if (!(inputWait >= 0 && inputWait < 1)) throw new Error(`expected a share of the time, got ${inputWait}`);
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
        /expected distillation "soft", "hard" or "features" with a teacher, got "none"/,
      );
      await refuses(() => makeRecipe({ epoch: 3 }), /recipe: .*epoch/);
      await refuses(() => makeRecipe({ dropPath: 2 }), /recipe: dropPath/);
    },
  },
];
