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
    .option("--model <name>", "timm's name; see tessera models")
    .option("--config <json>", "a model of any size, as JSON or a file of it")
    .option("--img-size <pixels>", "the model at another resolution; its position embedding is interpolated", integer(1))
    .requiredOption("--weights <file>", "parameters by timm's names")
    .requiredOption("--in <file>", "x [B,3,H,W], labels [B] or target [B,K], and teacher_logits [B,K] where distilling; of models without a head x and dy [B,D]")
    .addOption(new Option("--distillation <kind>", "the teacher's term of the loss").choices(["none", "soft", "hard"]).default("none"))
    .addOption(new Option("--alpha <a>", "weight of the teacher's term").argParser(number(0, 1)).default(0.5))
    .addOption(new Option("--tau <t>", "temperature of soft distillation").argParser(number(0, Infinity, { open: true })).default(1))
    .addOption(new Option("--reduction <kind>", "divisor of soft distillation").choices(["numel", "batchmean"]).default("numel"))
    .addOption(new Option("--label-smoothing <e>", "of labels").argParser(number(0, 1)).default(0));

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
    .description("the loss of a batch from a safetensors file, and its gradients")
    .requiredOption("--out <file>", "loss [], and grad.<parameter> for every parameter")
    .action(async (options: Options) => {
      const { loss, norm, parameters } = await runJob<GradResult>("grad", argsOf(options), options);
      print(`loss ${loss}\nnorm of the gradients of ${parameters} parameters ${norm}\n`);
    });

  common(program.command("step"))
    .description("updates with AdamW on one batch from a safetensors file")
    .requiredOption("--out <file>", "every parameter, and losses [N]")
    .addOption(new Option("--steps <n>", "how many updates").argParser(integer(1)).default(1))
    .addOption(new Option("--lr <lr>", "learning rate").argParser(number(0, Infinity, { open: true })).default(5e-4))
    .addOption(
      new Option("--weight-decay <wd>", "not applied to biases, norms, cls_token and pos_embed").argParser(number(0)).default(0.05),
    )
    .action(async (options: Options & Pick<StepArgs, "steps" | "lr" | "weightDecay">) => {
      const { steps, lr, weightDecay } = options;
      const { losses } = await runJob<StepResult>("step", { ...argsOf(options), steps, lr, weightDecay }, options);
      losses.forEach((loss, i) => print(`step ${i + 1} loss ${loss}\n`));
    });
}
