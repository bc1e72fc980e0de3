/** Where has the question of distillation an answer? The same students over lengths and sizes of the training set, and the ablation's ends. */
import { ablated } from "./ablation.ts";
import { row, type Group, type Table } from "./experiment.ts";
import { words, type Regime, type Scale } from "./scales.ts";
import { student, type Method } from "./students.ts";

const LABELS: Readonly<Record<Method, string>> = {
  none: "no distillation",
  "soft-paper": "soft, the paper's",
  soft: "soft, tau 2, weight 0.9",
  hard: "hard, one token",
  token: "hard, token, both heads",
};

const METHODS_BY_LENGTH = ["none", "soft", "hard", "token"] as const;

export function regimes(scale: Scale): Table {
  const { distillation: base, lengths, sizes, regimeSeeds } = scale;
  const group = (axis: string, value: number, at: Regime, methods: readonly Method[]): Group => {
    const seeds = at === base ? undefined : regimeSeeds;
    return {
      title: words(at),
      at: { axis, value },
      rows: methods.map((method) =>
        row(LABELS[method], student(scale, method, at, "cnn", seeds), {
          mirrored: at === base && (method === "none" || method === "soft"),
        }),
      ),
    };
  };
  const byLength = [...lengths, base].sort((a, b) => a.epochs - b.epochs);
  const bySize = [...sizes, base].sort((a, b) => a.perClass - b.perClass);
  const ablations = [...scale.ablationLengths, scale.ablation].sort((a, b) => a.epochs - b.epochs);
  return {
    name: "regimes",
    title: "Regimes: where a question has an answer",
    about: [
      "Students of the given CNN over the length of the training, each with its own full schedule, and over the size of the training set, with as many pictures shown in all.",
      "The ablation's ends over its length: without any augmentation a student must have learnt its set by heart before augmentation can pay, and the paper's recipe needs the length to learn at all.",
    ],
    groups: [
      ...byLength.map((at) => group(`epochs of ${10 * base.perClass} pictures`, at.epochs, at, METHODS_BY_LENGTH)),
      ...bySize.map((at) => group("pictures of a class, as many shown in all", at.perClass, at, ["none", "soft", "hard"])),
      ...ablations.map((at): Group => {
        const seeds = at === scale.ablation ? undefined : at.epochs > scale.ablation.epochs ? 1 : regimeSeeds;
        return {
          title: `Ablation's ends: ${words(at)}`,
          at: { axis: `the ablation's ends, epochs of ${10 * at.perClass} pictures`, value: at.epochs },
          rows: (["nothing", "crop-flip", "reference"] as const).map((name) => ablated(scale, name, at, seeds)),
        };
      }),
    ],
    curves: [
      {
        title: "Test accuracy by epoch, the longest training",
        of: "test",
        rows: (["none", "soft", "hard"] as const).map((method) =>
          row(LABELS[method], student(scale, method, byLength.at(-1)!, "cnn", regimeSeeds)),
        ),
      },
    ],
  };
}
