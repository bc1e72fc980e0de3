/** `tessera eval`: accuracy and loss of a checkpoint. */
import { Option, type Command } from "commander";
import { headChoices, type HeadChoice } from "../../models/heads.ts";
import type { Score } from "../../train/evaluate.ts";
import { UsageError } from "../../jobs/errors.ts";
import type { EvalArgs, EvalResult } from "../../jobs/eval.ts";
import { DATA_HELP, dataSplit } from "../node/data/files.ts";
import { parseModel } from "../model-options.ts";
import { PROTOCOLS, type Protocol } from "../../models/images/protocols.ts";
import type { StoredType } from "../../jobs/files/dtype.ts";
import { integer } from "../options.ts";
import { runJob, type CommonOptions } from "../run-job.ts";
import { note, print } from "../output.ts";

interface Options extends CommonOptions {
  readonly weights: string;
  readonly model?: string;
  readonly data: string;
  readonly split: string;
  readonly batchSize: number;
  readonly protocol?: Protocol;
  readonly workers?: number;
  readonly head?: HeadChoice;
  readonly resizePosEmbed?: boolean;
  readonly dtype: StoredType;
  readonly logits?: string;
}

export default function (program: Command): void {
  program
    .command("eval")
    .description("top-1, top-5, loss and images per second of a checkpoint on a split; exit code 1 if images were left out")
    .requiredOption("--weights <file>", "weights or checkpoint (.safetensors, .pth, .bin)")
    .option("--model <name|json>", "model: timm name, JSON file, or JSON; needed if the weights file does not name it")
    .option("--data <name>", DATA_HELP, "cifar10-subset")
    .option("--split <name>", "split: train, val or test; a set with only one of val and test uses it for both", "val")
    .addOption(
      new Option(
        "--head <name>",
        "answer of a distilled model: the mean of both heads' logits, the sum of their softmax, or one head (default: mean)",
      ).choices(headChoices),
    )
    .addOption(
      new Option(
        "--protocol <name>",
        "source of the preprocessing: resizing, crop, mean and std; weights with their own mean and std keep them (default: official)",
      ).choices(PROTOCOLS),
    )
    .option("--batch-size <n>", "images per forward pass, 1 or more", integer(1), 100)
    .option("--workers <n>", "threads that read and decode images, 0 or more; 0: the main thread does (default: 0)", integer(0))
    .addOption(
      new Option("--dtype <name>", "storage of activations and matrices; sums are f32 in both cases")
        .choices(["f32", "f16"])
        .default("f32"),
    )
    .option("--resize-pos-embed", "interpolate the weights' position embedding to the model's resolution")
    .option(
      "--logits <file>",
      "also write every image's logits [N,K] to this safetensors file, as --teacher-logits of train reads them, and labels [N]",
    )
    .action(async (options: Options) => {
      const { split } = options;
      if (split !== "train" && split !== "val" && split !== "test")
        throw new UsageError(`expected split train, val or test, got "${split}"`);
      const args: EvalArgs = {
        weights: options.weights,
        model: options.model === undefined ? undefined : parseModel(options.model),
        data: dataSplit(options.data, split),
        batchSize: options.batchSize,
        protocol: options.protocol,
        workers: options.workers,
        head: options.head,
        resizePosEmbed: options.resizePosEmbed,
        dtype: options.dtype,
        logits: options.logits,
      };
      const result = await runJob<EvalResult>("eval", args, options);
      const line = (name: string, s: Score) =>
        `${name.padEnd(18)} top-1 ${(100 * s.top1).toFixed(2)} %   top-5 ${(100 * s.top5).toFixed(2)} %   loss ${s.loss.toFixed(4)}\n`;
      print(`${result.count} images, ${result.imagesPerSecond.toFixed(1)} images/s\n`);
      note(`warm-up ${result.warmUpMs.toFixed(0)} ms, not counted above`);
      print(
        line(
          !result.cls
            ? "model"
            : { mean: "mean of both heads", "softmax-sum": "sum of softmaxes", cls: "class head", dist: "distillation head" }[
                options.head ?? "mean"
              ],
          result.model,
        ),
      );
      if (result.cls) print(line("class head", result.cls));
      if (result.dist) print(line("distillation head", result.dist));
      const left = result.leftOut ?? [];
      if (left.length > 0)
        throw new Error(`expected every image to be scored, got ${left.length} of ${result.count + left.length} left out, named above`);
    });
}
