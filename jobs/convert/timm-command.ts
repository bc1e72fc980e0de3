/**
 * The command of timm's train.py that continues a Tessera recipe on a cluster. Comments in it name every part of the recipe that timm does
 * differently or lacks.
 *
 * https://github.com/huggingface/pytorch-image-models/blob/main/train.py (1.0.29)
 */
import { modelNames, nameOf, type ModelConfig } from "../../models/model.ts";
import { quote, shown } from "../../models/shown.ts";
import type { Recipe } from "../../train/recipe.ts";
import { linearScaledLr } from "../../train/schedule.ts";
import { cropKind } from "../../train/input/step-input.ts";

export interface TimmRun {
  readonly config: ModelConfig;
  /** Weights with timm's names. */
  readonly weights: string;
  readonly recipe: Recipe;
  readonly seed: number;
  /** Finished epochs. */
  readonly epoch: number;
  /** Mean and std of the training images; `undefined` if the checkpoint does not say. */
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
  /** The teacher's model by name, where the run distilled from one. */
  readonly teacher?: string | undefined;
}

/** The paper's teacher, used in the command if the run's teacher has no timm name. */
const TEACHER = "regnety_160";

/**
 * A shell script: comments, then one command for one machine of `GPUS` processes that share the recipe's batch.
 * Values with shell metacharacters are quoted; line breaks in comments are removed.
 */
export function timmCommand({ config, weights, recipe: r, seed, epoch, mean, std, teacher }: TimmRun): string {
  const notes: string[] = [];
  const args: string[] = ['--data-dir "${DATA:?folder of the data set}"'];
  const flag: Flag = (name, ...values) => void args.push([`--${name}`, ...values.map(word)].join(" "));
  model(config, flag, notes);
  flag("num-classes", config.numClasses);
  if (mean && std) flag("mean", ...mean), flag("std", ...std);
  else notes.push("the checkpoint does not say how images were normalised: --mean and --std are timm's for this model");
  args.push(`--initial-checkpoint ${quoted(weights)}`);
  if (epoch > 0) flag("start-epoch", epoch);
  flag("epochs", r.epochs);
  args.push(`--batch-size $((${r.batchSize} / GPUS))`);
  flag("opt", r.optimizer === "sgd" && !r.nesterov ? "momentum" : r.optimizer); // timm's sgd is Nesterov's
  if (r.optimizer === "sgd") flag("momentum", r.momentum);
  else flag("opt-betas", r.beta1, r.beta2), flag("opt-eps", r.eps);
  if (r.optimizer === "lamb") flag("opt-kwargs", `max_grad_norm=${r.maxGradNorm ?? "None"}`);
  flag("weight-decay", r.weightDecay);
  flag("lr", r.scaleLr ? linearScaledLr(r.lr, r.batchSize) : r.lr);
  flag("sched", "cosine");
  flag("warmup-epochs", r.warmupEpochs);
  flag("warmup-lr", r.warmupLr);
  flag("min-lr", r.minLr);
  if (r.schedule === "step")
    flag("sched-on-updates"),
      flag("warmup-prefix"),
      notes.push("with --warmup-prefix timm adds the warm-up to the epochs; ours is inside of them");
  if (r.schedule === "official") notes.push("timm steps its schedule before each epoch; the official schedule runs an epoch behind that");
  if (r.clipGrad !== null) flag("clip-grad", r.clipGrad);
  flag("smoothing", r.labelSmoothing);
  if (r.bceLoss) flag("bce-loss");
  if (r.bceTargetThresh !== null) flag("bce-target-thresh", r.bceTargetThresh);
  flag("drop-path", r.dropPath);
  if (r.dropPathUniform && r.dropPath > 0) notes.push("our run dropped every block alike; timm's ViT drops later ones more often");
  if (r.dropout) flag("drop", r.dropout);
  if (r.emaDecay !== null) flag("model-ema"), flag("model-ema-decay", r.emaDecay);
  if (r.dtype === "f16") flag("amp");
  augmentation(r, config.imgSize, flag, notes);
  distillation(r, config.numClasses, teacher, flag, notes);
  if (r.trainOnly !== "all") notes.push(`our run trained "${r.trainOnly}" only; timm's train.py trains all`);
  if (epoch > 0) notes.push("the optimizer's moments are not carried over: they begin anew");
  flag("seed", seed);
  const lines = [
    "set -eu",
    ': "${GPUS:=8}"',
    ...notes.map((n) => `# Differs: ${shown(n)}.`),
    `torchrun --nproc-per-node="$GPUS" train.py \\`,
  ];
  return `#!/bin/sh\n${lines.join("\n")}\n${args.map((a) => `  ${a}`).join(" \\\n")}\n`;
}

type Flag = (name: string, ...values: (string | number)[]) => void;

/** What they are called, and timm's smallest. */
const CONVOLUTIONAL = {
  regnety: ["RegNetY", "regnety_002"],
  resnet: ["ResNet", "resnet18"],
  convnext: ["ConvNeXt", "convnext_atto"],
} as const;

function model(config: ModelConfig, flag: Flag, notes: string[]): void {
  const name = nameOf(config);
  if (config.arch !== "deit") {
    const [kind, smallest] = CONVOLUTIONAL[config.arch];
    if (name === null) notes.push(`timm has no ${kind} of this size by name: --model is to be replaced`);
    flag("model", name ?? smallest);
    flag("img-size", config.imgSize);
    return;
  }
  if (name !== null) return flag("model", name);
  // A custom size: timm's smallest model with its sizes replaced; --img-size alone would only resize the images.
  const sizes = {
    img_size: config.imgSize,
    patch_size: config.patchSize,
    embed_dim: config.dim,
    depth: config.depth,
    num_heads: config.heads,
    mlp_ratio: config.mlpRatio,
  };
  flag("model", config.distilled ? "deit_tiny_distilled_patch16_224" : "deit_tiny_patch16_224");
  flag("img-size", config.imgSize);
  flag("in-chans", config.inChans);
  flag("model-kwargs", ...Object.entries(sizes).map(([key, value]) => `${key}=${value}`));
}

function augmentation(r: Recipe, side: number, flag: Flag, notes: string[]): void {
  if (r.mixup > 0) flag("mixup", r.mixup);
  if (r.cutmix > 0) flag("cutmix", r.cutmix);
  if (r.mixup > 0 || r.cutmix > 0) flag("mixup-prob", r.mixProb), flag("mixup-switch-prob", r.mixSwitchProb), flag("mixup-mode", r.mixMode);
  const crop = cropKind(r, side);
  flag("scale", ...r.cropScale), flag("ratio", ...r.cropRatio);
  if (crop !== "resized") notes.push(`our run took "${crop}" crops; timm's train.py takes resized ones`);
  flag("hflip", r.hflip);
  if (r.autoAugment !== null) flag("aa", r.autoAugment);
  flag("color-jitter", r.colorJitter);
  if (r.erasing > 0) flag("reprob", r.erasing), flag("remode", r.erasingMode), flag("recount", r.erasingCount);
  if (r.repeats > 1) flag("aug-repeats", r.repeats);
  flag("train-interpolation", "bicubic");
}

/** timm: task weight * task loss + distillation weight * (cross-entropy with the teacher's choice, or KL per image * tau^2). */
function distillation(r: Recipe, classes: number, teacher: string | undefined, flag: Flag, notes: string[]): void {
  if (r.distillation === "none") return;
  if (r.distillation === "features")
    return void notes.push("timm's train.py distils pooled features, not patches: this command has no teacher");
  const known = teacher !== undefined && modelNames.includes(teacher);
  flag("kd-model-name", known ? teacher : TEACHER);
  if (!known) notes.push(`timm has no teacher ${quote(teacher ?? "of an unknown name")}: --kd-model-name is the paper's`);
  flag("kd-distill-type", "token");
  flag("kd-token-distill-type", r.distillation);
  flag("task-loss-weight", 1 - r.alpha);
  // The official soft loss divides by the classes too.
  flag("distill-loss-weight", r.distillation === "soft" && r.reduction === "numel" ? r.alpha / classes : r.alpha);
  if (r.distillation === "soft") flag("kd-temperature", r.tau);
  if (r.singleToken) notes.push("timm distils into a token of its own; our run did into the class token");
}

/** A value as one shell word: unquoted if it has no shell metacharacters, else quoted. */
const word = (value: string | number): string => (/^[\w.+-][\w.,:=+-]*$/.test(`${value}`) ? `${value}` : quoted(`${value}`));

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
