/** `grad` and `step`: a batch's loss and gradients, and updates with AdamW on it. */
import { Option, type Command } from "commander";
import type { GradArgs, GradResult } from "../../jobs/grad.ts";
import type { StepArgs, StepResult } from "../../jobs/step.ts";
import { integer, modelOf, number } from "../options.ts";
import { runJob, type CommonOptions } from "../run-job.ts";
import { print } from "../output.ts";

interface Options extends CommonOptions, Omit<GradArgs, "model"> {
  readonly model?: string;
  readonly config?: string;
}

/** The options that both have. Weights are trained as PyTorch's `model.train()` would, without stochastic depth and dropout. */
const common = (command: Command): Command =>
  command
    .option("--model <name>", "model: timm's name; see tessera models")
    .option("--config <json>", "model of any size: JSON, or a JSON file; instead of --model")
    .option(
      "--img-size <pixels>",
      "side of the images, where it is not the model's own; the position embedding is interpolated",
      integer(1),
    )
    .requiredOption("--weights <file>", "file with the parameters, by timm's names")
    .requiredOption(
      "--in <file>",
      "safetensors file with x [B,3,H,W], labels [B] or target [B,K], and teacher_logits [B,K] for distillation; for a model without a head x and dy [B,D]",
    )
    .addOption(
      new Option("--distillation <kind>", "teacher's term of the loss: none, soft (probabilities) or hard (first class)")
        .choices(["none", "soft", "hard"])
        .default("none"),
    )
    .addOption(new Option("--alpha <a>", "weight of the teacher's term in the loss, in [0, 1]").argParser(number(0, 1)).default(0.5))
    .addOption(
      new Option("--tau <t>", "soft distillation: temperature that divides both sides' logits, above 0")
        .argParser(number(0, Infinity, { open: true }))
        .default(1),
    )
    .addOption(
      new Option("--reduction <kind>", "soft distillation: divide by images and classes (numel) or by images (batchmean)")
        .choices(["numel", "batchmean"])
        .default("numel"),
    )
    .addOption(
      new Option("--label-smoothing <e>", "share of the label spread over all classes, in [0, 1]; for labels, not target")
        .argParser(number(0, 1))
        .default(0),
    );

const argsOf = (o: Options): GradArgs => ({
  model: modelOf(o),
  weights: o.weights,
  imgSize: o.imgSize,
  in: o.in,
  out: o.out,
  distillation: o.distillation,
  alpha: o.alpha,
  tau: o.tau,
  reduction: o.reduction,
  labelSmoothing: o.labelSmoothing,
});

export default function (program: Command): void {
  common(program.command("grad"))
    .description("compute the loss and its gradients for a batch from a safetensors file")
    .requiredOption("--out <file>", "safetensors file to write: loss [], and grad.<parameter> for every parameter")
    .action(async (options: Options) => {
      const { loss, norm, parameters } = await runJob<GradResult>("grad", argsOf(options), options);
      print(`loss ${loss}\nnorm of the gradients of ${parameters} parameters ${norm}\n`);
    });

  common(program.command("step"))
    .description("make AdamW updates on one batch from a safetensors file")
    .requiredOption("--out <file>", "safetensors file to write: every parameter, and losses [N]")
    .addOption(new Option("--steps <n>", "number of updates, 1 or more").argParser(integer(1)).default(1))
    .addOption(new Option("--lr <lr>", "learning rate, above 0").argParser(number(0, Infinity, { open: true })).default(5e-4))
    .addOption(
      new Option(
        "--weight-decay <wd>",
        "weight decay per update, times the learning rate, 0 or more; not for biases, norms, cls_token and pos_embed",
      )
        .argParser(number(0))
        .default(0.05),
    )
    .action(async (options: Options & Pick<StepArgs, "steps" | "lr" | "weightDecay">) => {
      const { steps, lr, weightDecay } = options;
      const { losses } = await runJob<StepResult>("step", { ...argsOf(options), steps, lr, weightDecay }, options);
      losses.forEach((loss, i) => print(`step ${i + 1} loss ${loss}\n`));
    });
}
