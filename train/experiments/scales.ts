/** Sizes of the experiments. Everything that depends on the machine stands here. */
import type { SetName, Settings } from "./experiment.ts";

/** A training set and how often it is seen. */
export interface Regime {
  readonly perClass: number;
  readonly epochs: number;
}

/** A regime for people. */
export const words = ({ perClass, epochs }: Regime): string =>
  `${(10 * perClass).toLocaleString("en")} pictures, ${epochs} ${epochs === 1 ? "epoch" : "epochs"}`;

export interface Scale {
  readonly name: "small" | "full" | "rehearsal";
  readonly about: string;
  readonly student: Settings;
  /** Of the full set's DeiT, the second teacher, which transfer begins with. */
  readonly deit: Settings;
  readonly cnn: Settings;
  readonly recipe: Settings;
  /** All test pictures of this set judge students and teachers. */
  readonly judged: SetName;
  readonly sgdLr: number;
  readonly emaDecay: number;
  /** Where the table of distillation asks. */
  readonly distillation: Regime;
  /** Other lengths and other sets, for the curves of the regimes; `seeds` at most. */
  readonly lengths: readonly Regime[];
  readonly sizes: readonly Regime[];
  readonly regimeSeeds: number;
  /** Candidates for teachers of equal accuracy. */
  readonly cnns: readonly Regime[];
  readonly deits: readonly Regime[];
  readonly ablation: Regime;
  readonly ablationLengths: readonly Regime[];
  /** Targets: pictures of a class, epochs, batch, most seeds. */
  readonly transfer: readonly (Regime & { readonly batchSize: number; readonly seeds?: number })[];
  /** Trainings at a time where `--jobs` does not say; "cores": one per core. */
  readonly jobs: number | "cores";
  /** Images per second of all trainings together, for estimates before any has ended. */
  readonly imagesPerSecond: number;
}

const vit = (dim: number, depth: number, heads: number, patchSize: number): Settings => ({
  ...{ arch: "deit", imgSize: 32, patchSize },
  ...{ dim, depth, heads, numClasses: 10 },
});

/** app/data/teacher/model.json. */
const CNN: Settings = {
  ...{ arch: "regnety", imgSize: 32, w0: 24, wa: 16, wm: 2, groupWidth: 8, depth: 5 },
  ...{ stemWidth: 16, stemStride: 1, strides: [2], numClasses: 10 },
};

const RECIPE: Settings = { scaleLr: false, schedule: "step", minLr: 1e-5, emaDecay: null };

const small: Scale = {
  name: "small",
  about: "for a software adapter: sets of 500 to 10,000 pictures of CIFAR-10, a student of two blocks",
  student: vit(64, 2, 2, 8),
  deit: vit(64, 4, 2, 8),
  cnn: CNN,
  recipe: { ...RECIPE, batchSize: 100, lr: 2e-3 },
  judged: "cifar10/all",
  sgdLr: 3e-2,
  emaDecay: 0.99,
  distillation: { perClass: 200, epochs: 60 },
  lengths: [
    { perClass: 200, epochs: 15 },
    { perClass: 200, epochs: 120 },
  ],
  sizes: [
    { perClass: 50, epochs: 240 },
    { perClass: 1000, epochs: 12 },
  ],
  regimeSeeds: 2,
  cnns: [
    { perClass: 2500, epochs: 1 },
    { perClass: 5000, epochs: 1 },
    { perClass: 2500, epochs: 3 },
    { perClass: 5000, epochs: 2 },
  ],
  deits: [
    { perClass: 5000, epochs: 6 },
    { perClass: 5000, epochs: 16 },
  ],
  ablation: { perClass: 50, epochs: 200 },
  ablationLengths: [
    { perClass: 50, epochs: 60 },
    { perClass: 50, epochs: 400 },
  ],
  transfer: [
    { perClass: 10, epochs: 100, batchSize: 50 },
    { perClass: 100, epochs: 20, batchSize: 50 },
    { perClass: 1000, epochs: 3, batchSize: 50, seeds: 2 },
  ],
  jobs: "cores",
  imagesPerSecond: 900,
};

const full: Scale = {
  name: "full",
  about: "for a GPU: sets of 1,000 to 50,000 pictures of CIFAR-10, a student of nine blocks",
  student: vit(192, 9, 3, 4),
  deit: vit(192, 9, 3, 4),
  cnn: { ...CNN, w0: 48, wa: 32, depth: 8 },
  recipe: { ...RECIPE, batchSize: 128, lr: 1e-3 },
  judged: "cifar10/all",
  sgdLr: 3e-2,
  emaDecay: 0.999,
  distillation: { perClass: 1000, epochs: 30 },
  lengths: [
    { perClass: 1000, epochs: 10 },
    { perClass: 1000, epochs: 100 },
  ],
  sizes: [
    { perClass: 200, epochs: 150 },
    { perClass: 5000, epochs: 6 },
  ],
  regimeSeeds: 2,
  cnns: [1, 2, 4, 8].map((epochs) => ({ perClass: 5000, epochs })),
  deits: [
    { perClass: 5000, epochs: 20 },
    { perClass: 5000, epochs: 60 },
  ],
  ablation: { perClass: 200, epochs: 300 },
  ablationLengths: [
    { perClass: 200, epochs: 60 },
    { perClass: 200, epochs: 1000 },
  ],
  transfer: [
    { perClass: 10, epochs: 150, batchSize: 50 },
    { perClass: 100, epochs: 30, batchSize: 50 },
    { perClass: 1000, epochs: 10, batchSize: 100 },
  ],
  jobs: 1,
  // Not measured: an H100 trains DeiT-Ti, of 4.6 times the multiply-adds, at 3,613 images/s (bench/results/GPU.md); the rest is left for the
  // teacher and for launches. At that rate its first ten minutes are the first seed of the regimes, but for the longest trainings.
  imagesPerSecond: 10_000,
};

/** So many pictures of a class, once more for each further regime. */
const brief = (from: number) => Array.from({ length: 4 }, (_, i) => ({ perClass: 10, epochs: from + i }));

/** Every run of "small", a few updates long. */
const rehearsal: Scale = {
  ...small,
  name: "rehearsal",
  about: "a few updates of every run of scale small, whose figures mean nothing: it shows that all of them work on this machine",
  judged: "cifar10/10",
  distillation: { perClass: 10, epochs: 1 },
  lengths: brief(2).slice(0, 2),
  sizes: [20, 30].map((perClass) => ({ perClass, epochs: 1 })),
  regimeSeeds: 1,
  cnns: brief(1),
  deits: brief(1).slice(0, 2),
  ablation: { perClass: 10, epochs: 3 },
  ablationLengths: [2, 4].map((epochs) => ({ perClass: 10, epochs })),
  transfer: [10, 20, 30].map((perClass) => ({ perClass, epochs: 1, batchSize: 50 })),
};

export const SCALES: Readonly<Record<Scale["name"], Scale>> = { small, full, rehearsal };
