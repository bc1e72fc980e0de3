/** `tessera features`: a model's features of images, as a file. */
import { Option, type Command } from "commander";
import { UsageError } from "../../jobs/errors.ts";
import type { FeaturesArgs, FeaturesResult } from "../../jobs/features.ts";
import { PROTOCOLS, type Protocol } from "../../models/images/protocols.ts";
import { imagesIn } from "../image-arguments.ts";
import { parseModel } from "../model-options.ts";
import { DATA_HELP, dataSplit } from "../node/data/files.ts";
import { integer } from "../options.ts";
import { note, print } from "../output.ts";
import { runJob, type CommonOptions } from "../run-job.ts";

interface Options extends CommonOptions {
  readonly weights: string;
  readonly model?: string;
  readonly imgSize?: number;
  readonly data?: string;
  readonly split: "train" | "val" | "test";
  readonly in?: string;
  readonly out: string;
  readonly pool?: "cls" | "mean" | "none";
  readonly block?: number;
  readonly protocol: Protocol;
  readonly batchSize: number;
  readonly pca?: string;
}

export default function (program: Command): void {
  program
    .command("features")
    .description("features of images, before the classifier, as a safetensors file for knn; exit code 1 if images were left out")
    .argument("[image...]", "image files, or folders of them")
    .requiredOption("--weights <file>", "weights or checkpoint (.safetensors, .pth, .bin)")
    .option("--model <name|json>", "model: timm name, JSON file, or JSON; needed if the weights file does not name it")
    .option(
      "--img-size <pixels>",
      "side of the images, where it is not the model's own; the position embedding is interpolated",
      integer(1),
    )
    .option("--data <name>", `instead of image files: ${DATA_HELP}`)
    .addOption(new Option("--split <name>", "of --data").choices(["train", "val", "test"]).default("val"))
    .option("--in <file>", "instead of image files: safetensors file with x [B,3,H,W], normalised")
    .requiredOption("--out <file>", "safetensors file to write: features [N,D], or [N,P,D] with --pool none; labels [N] with --data")
    .addOption(
      new Option(
        "--pool <kind>",
        "class token, mean of the patches, or every patch (default: cls; of a convolutional network mean)",
      ).choices(["cls", "mean", "none"]),
    )
    .option("--block <n>", "features after this block (or stage), from 0, instead of those after the last norm", integer(0))
    .addOption(
      new Option("--protocol <name>", "source of the preprocessing; weights with their own mean and std keep them")
        .choices(PROTOCOLS)
        .default("timm"),
    )
    .option("--batch-size <n>", "images per forward pass, 1 or more", integer(1), 8)
    .option("--pca <folder>", "with --pool none: write each image's patches as a picture of their first three principal components, PNG")
    .action(async (images: string[], options: Options) => {
      const { weights, imgSize, data, split, out, pool, block, protocol, batchSize, pca } = options;
      if ([images.length > 0, data !== undefined, options.in !== undefined].filter(Boolean).length !== 1)
        throw new UsageError("expected one of image files, --data and --in, got none or several");
      const args: FeaturesArgs = {
        weights,
        model: options.model === undefined ? undefined : parseModel(options.model),
        imgSize,
        ...(images.length > 0 ? { images: imagesIn(images) } : {}),
        ...(data === undefined ? {} : { data: dataSplit(data, split) }),
        in: options.in,
        out,
        pool,
        block,
        protocol,
        batchSize,
        pca,
      };
      const { model, shape, failed, pictures, imagesPerSecond } = await runJob<FeaturesResult>("features", args, options);
      print(`features [${shape.join(",")}] of ${model} in ${out}\n`);
      for (const path of pictures) print(`${path}\n`);
      note(`${imagesPerSecond.toFixed(2)} images/s`);
      if (failed.length > 0) throw new Error(`expected features of every image, got none of ${failed.length}, named above`);
    });
}
