/** Distillation of patch features: loss and gradients as PyTorch has them, and runs that learn by it. */
import { gradients, noGrad } from "../../engine/autograd.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams } from "../../models/params.ts";
import { featureLoss, patchTap } from "../../train/feature-distillation.ts";
import { makeRecipe, type Recipe } from "../../train/recipe.ts";
import type { StepMetrics } from "../../train/train.ts";
import { close, refuses, type Case } from "../../checks/check.ts";
import golden from "../golden/feature-loss.json" with { type: "json" };
import { PLAIN, plain, run, student } from "../tiny-training.ts";

/** Another width and another grid than the student's. */
const wide = createModel({
  arch: "deit",
  imgSize: 16,
  patchSize: 8,
  dim: 24,
  depth: 1,
  heads: 2,
  numClasses: 0,
  layerScale: 0.5,
  regTokens: 2,
});
const teacher = { model: wide, state: initialState(wide.params, 9) };
const features = {
  ...PLAIN,
  epochs: 4,
  batchSize: 16,
  lr: 0.02,
  warmupEpochs: 1,
  distillation: "features",
  mixup: 0,
  cutmix: 0,
  colorJitter: 0,
};

export const cases: Case[] = [
  ...golden.cases.map((c) => ({
    name: `featureLoss: as recorded, ${c.kind}, ${c.student.shape[1]} patches of a student, ${c.teacher.shape[1]} of its teacher`,
    async run() {
      const [x, t, weight, bias] = [c.student, c.teacher, c.weight, c.bias].map(({ values, shape }) => Tensor.from(values, shape)) as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const learned = [x, weight, bias];
      for (const tensor of learned) tensor.requiresGrad = true;
      const loss = featureLoss({ "distill_proj.weight": weight, "distill_proj.bias": bias }, x, t, c.kind as Recipe["featureLoss"]);
      const [l, ...grads] = await readAll([loss, ...gradients(loss, learned)]);
      close("loss", l![0]!, c.loss as unknown as number, 2e-6);
      [c.dstudent, c.dweight, c.dbias].forEach((expected, k) =>
        expected.forEach((v, i) => close(`gradient ${k}[${i}]`, grads[k]![i]!, v, 2e-6 * (1 + Math.abs(v)))),
      );
    },
  })),
  {
    name: "patchTap: a transformer's patches without the tokens before them, a convolutional network's pixels",
    async run() {
      const params = loadParams("teacher", wide.params, teacher.state);
      const seen = patchTap(wide);
      const { logits } = noGrad(() => wide.forward(params, Tensor.zeros([2, 3, 16, 16]), { tap: seen.tap }));
      const rows = seen.rows();
      if (String(rows.shape) !== "2,4,24") throw new Error(`expected rows [2,4,24], got [${rows.shape}]`);
      const [r, l] = await readAll([rows, logits]);
      if (Array.from(l!.subarray(0, 24)).every((v, i) => Math.abs(v - r![i]!) < 1e-6))
        throw new Error("expected patches, got the class token");
      const map = Tensor.from([0, 1, 2, 3, 10, 11, 12, 13], [1, 2, 2, 2]);
      const conv = patchTap(createModel({ arch: "resnet", imgSize: 32 }));
      for (const name of ["stem", "s3", "s4"]) conv.tap(name, name === "s4" ? map : Tensor.zeros([1, 2, 4, 4]));
      const pixels = [...(await conv.rows().floats())];
      if (String(pixels) !== "0,10,1,11,2,12,3,13") throw new Error(`expected pixels' channels side by side, got ${pixels}`);
    },
  },
  ...(
    [
      ["cosine", "lora"],
      ["smooth-l1", "all"],
    ] as const
  ).map(([featureLoss, trainOnly]) => ({
    name: `training: distils features by ${featureLoss}, training ${trainOnly}; the map is no part of what is saved`,
    long: true,
    async run() {
      const steps: StepMetrics[] = [];
      const { state, ema } = await run({
        model: plain,
        teacher,
        ...(trainOnly === "lora" ? { initial: initialState(plain.params, 4) } : {}),
        recipe: makeRecipe({ ...features, featureLoss, trainOnly, alpha: 0.7, emaDecay: 0.9 }),
        onMetrics: (m) => void (m.kind === "step" && steps.push(m)),
      });
      for (const saved of [state, ema!])
        if (String([...saved.keys()]) !== String(plain.params.map(({ name }) => name)))
          throw new Error(`expected the model's own parameters, got ${[...saved.keys()].slice(-3)}`);
      const [first, last] = [steps[0]!.distill!, steps.at(-1)!.distill!];
      if (!(last < 0.95 * first)) throw new Error(`expected the features' distance to shrink by a twentieth, got ${first} and ${last}`);
      for (const { loss, base, distill } of steps) close("loss", loss, 0.3 * base + 0.7 * distill!, 1e-5 * (1 + Math.abs(loss)));
    },
  })),
  {
    name: "training: a run that distils features goes on after a stop with the same bits",
    long: true,
    async run() {
      const o = { model: plain, teacher, recipe: makeRecipe({ ...features, epochs: 2 }) };
      const whole = await run(o);
      let saved: Uint8Array | undefined;
      await run({ ...o, saveEvery: 1, shouldStop: () => saved !== undefined, onCheckpoint: async (bytes) => void (saved = bytes) });
      const resumed = await run({ ...o, resume: saved! });
      for (const [name, { data: values }] of whole.state)
        if (String(values) !== String(resumed.state.get(name)!.data)) throw new Error(`expected the same ${name} after a stop`);
    },
  },
  {
    name: "training: distillation of features wants a teacher, and no cache of its logits; a student of two heads may have it",
    long: true,
    async run() {
      await refuses(
        () => run({ model: plain, teacher: undefined, recipe: makeRecipe(features) }),
        /recipe: expected a teacher for distillation "features", got none/,
      );
      await refuses(
        () => run({ model: plain, teacher, recipe: makeRecipe({ ...features, cacheTeacher: true }) }),
        /expected distillation "soft" or "hard" for cacheTeacher, got "features"/,
      );
      await run({ model: student, teacher, recipe: makeRecipe({ ...features, epochs: 1, warmupEpochs: 0 }), maxSteps: 1 });
    },
  },
];
