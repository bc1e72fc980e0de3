/** What does a DeiT of the full set know that helps elsewhere? The paper's table 7 and section 6.4, on three targets and set sizes. */
import { row, TARGETS, type Group, type Row, type Run, type Settings, type Table } from "./experiment.ts";
import { TRANSFER as PAPER } from "./paper.ts";
import type { Scale } from "./scales.ts";
import { PLAIN, warmup } from "./students.ts";

/** How the pretrained weights are used; rates as in the library's fine-tuning. */
const METHODS: Readonly<Record<string, { readonly label: string; readonly recipe: Settings; readonly paper?: number }>> = {
  scratch: { label: "from scratch", recipe: { lr: 1e-3 }, paper: PAPER.scratch },
  neighbours: { label: "nearest neighbours", recipe: {} },
  head: { label: "classifier", recipe: { trainOnly: "head", lr: 1e-2 } },
  lora: { label: "LoRA and classifier", recipe: { trainOnly: "lora", lr: 2e-3 } },
  attention: { label: "attention and classifier", recipe: { trainOnly: "attention", lr: 1e-3 } },
  all: { label: "all weights", recipe: { lr: 1e-3 }, paper: PAPER.pretrained },
};

const NAMES: Readonly<Record<(typeof TARGETS)[number], string>> = {
  fashion: "Fashion-MNIST",
  digits: "MNIST's digits",
  letters: "letters of fonts",
};

/** The row of a method on a target, at a size. */
export function tuned(scale: Scale, target: (typeof TARGETS)[number], at: Scale["transfer"][number], method: string): Row {
  const { perClass, epochs, batchSize, seeds } = at;
  const { label, recipe, paper } = METHODS[method]!;
  const run: Run = {
    id: `transfer/${target}/${method}/${perClass}x${epochs}`,
    kind: method === "neighbours" ? "neighbours" : "train",
    model: "best-deit",
    // Digits and letters are no longer themselves in a mirror.
    recipe: {
      ...scale.recipe,
      ...PLAIN,
      hflip: target === "fashion" ? 0.5 : 0,
      batchSize,
      epochs,
      warmupEpochs: warmup(epochs),
      ...recipe,
    },
    data: `${target}/${perClass}`,
    points: 1,
    ...(method === "scratch" ? {} : { from: "best-deit" }),
    // Neighbours have no chance in them.
    ...(method === "neighbours" ? { seeds: 1 } : seeds === undefined ? {} : { seeds }),
  };
  const mirrored = target === "fashion" && perClass === 100 && (method === "scratch" || method === "all");
  return row(label, run, { mirrored, ...(paper === undefined ? {} : { paper }) });
}

export function transfer(scale: Scale): Table {
  return {
    name: "transfer",
    title: "Transfer (table 7 and section 6.4)",
    about: [
      "From the best DeiT of the full set, which has seen photographs only, to pictures of other kinds: grey clothes, digits and letters of fonts, ten classes each; letters are judged by fonts that no training picture is of.",
      "What is tuned: the classifier alone, with it low-rank additions or attention, or all weights, as many updates each at a size. Nearest neighbours on the features need none, and have no seeds.",
    ],
    groups: TARGETS.flatMap((target) =>
      scale.transfer.map(
        (at): Group => ({
          title: `${NAMES[target]}, ${at.perClass} pictures of a class`,
          at: { axis: `${NAMES[target]}: pictures of a class`, value: at.perClass },
          rows: Object.keys(METHODS).map((method) => tuned(scale, target, at, method)),
        }),
      ),
    ),
    curves: [],
  };
}
