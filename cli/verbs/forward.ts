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
    .option("--model <name>", "timm's name; see tessera models")
    .option("--config <json>", "a model of any size, as JSON or a file of it")
    .option("--img-size <pixels>", "the model at another resolution; its position embedding is interpolated", integer(1))
    .requiredOption("--weights <file>", "parameters by timm's names")
    .requiredOption("--in <file>", "x [B,3,H,W], normalised")
    .requiredOption("--out <file>", "logits; of distilled models also logits_cls and logits_dist; of models without a head features")
    .option("--activations", "also patch_embed, blocks.0 …, norm; of a RegNet stem, s1 … s4")
    .addOption(
      new Option("--dtype <name>", "how activations and matrices are stored; sums are f32 either way")
        .choices(["f32", "f16"])
        .default("f32"),
    )
    .option("--resize-pos-embed", "fit weights of another resolution to the model's")
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
