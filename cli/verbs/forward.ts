/** `forward`: a model's outputs on images from a file. */
import { Option, type Command } from "commander";
import type { ForwardArgs, ForwardResult } from "../../jobs/forward.ts";
import { integer, modelOf } from "../options.ts";
import type { StoredType } from "../../jobs/files/dtype.ts";
import { runJob, type CommonOptions } from "../run-job.ts";
import { note, print } from "../output.ts";

interface Options extends CommonOptions {
  readonly model?: string;
  readonly config?: string;
  readonly weights: string;
  readonly imgSize?: number;
  readonly in: string;
  readonly out: string;
  readonly activations?: boolean;
  readonly resizePosEmbed?: boolean;
  readonly dtype: StoredType;
}

export default function (program: Command): void {
  program
    .command("forward")
    .description("run a model in evaluation mode on tensors from a safetensors file")
    .option("--model <name>", "model: timm's name; see tessera models")
    .option("--config <json>", "model of any size: JSON, or a JSON file; instead of --model")
    .option(
      "--img-size <pixels>",
      "side of the images, where it is not the model's own; the position embedding is interpolated",
      integer(1),
    )
    .requiredOption("--weights <file>", "file with the parameters, by timm's names")
    .requiredOption("--in <file>", "safetensors file with x [B,3,H,W], normalised")
    .requiredOption(
      "--out <file>",
      "safetensors file to write: logits [B,K]; for distilled models also logits_cls and logits_dist; features [B,D] of a model without a head",
    )
    .option("--activations", "also write patch_embed, blocks.0 …, norm; for a RegNet stem, s1 … s4")
    .addOption(
      new Option("--dtype <name>", "storage of activations and matrices; sums are f32 in both cases")
        .choices(["f32", "f16"])
        .default("f32"),
    )
    .option("--resize-pos-embed", "interpolate the weights' position embedding to the model's resolution")
    .action(async (options: Options) => {
      const args: ForwardArgs = {
        model: modelOf(options),
        weights: options.weights,
        imgSize: options.imgSize,
        in: options.in,
        out: options.out,
        activations: options.activations,
        resizePosEmbed: options.resizePosEmbed,
        dtype: options.dtype,
      };
      const { outputs, warmUpMs, runMs } = await runJob<ForwardResult>("forward", args, options);
      for (const [name, shape] of Object.entries(outputs)) print(`${name} [${shape.join(",")}]\n`);
      note(`warm-up ${warmUpMs.toFixed(0)} ms, run ${runMs.toFixed(1)} ms`);
    });
}
