/** `tessera classify`: the most probable classes of image files. */
import { Option, type Command } from "commander";
import { headChoices, type HeadChoice } from "../../models/heads.ts";
import { PROTOCOLS, type Protocol } from "../../models/images/protocols.ts";
import { UsageError } from "../../jobs/errors.ts";
import { shown } from "../../models/shown.ts";
import type { ClassifyArgs, Classified, ClassifyResult } from "../../jobs/classify.ts";
import { imagesIn } from "../image-arguments.ts";
import { parseModel } from "../model-options.ts";
import { integer } from "../options.ts";
import type { StoredType } from "../../jobs/files/dtype.ts";
import { runJob, type CommonOptions } from "../run-job.ts";
import { note, print } from "../output.ts";

interface Options extends CommonOptions {
  readonly weights: string;
  readonly model?: string;
  readonly topk: number;
  readonly protocol: Protocol;
  readonly head: HeadChoice;
  readonly batchSize: number;
  readonly maps?: string;
  readonly resizePosEmbed?: boolean;
  readonly dtype: StoredType;
}

export default function (program: Command): void {
  program
    .command("classify")
    .description("top-k classes of image files; exit code 1 if some give no answer, 2 if none can be read")
    .argument("<image...>", "image files, or folders of them")
    .requiredOption("--weights <file>", "weights or checkpoint (.safetensors, .pth, .bin)")
    .option("--model <name|json>", "model: timm name, JSON file, or JSON; needed if the weights file does not name it")
    .option("--topk <k>", "classes to print per image, 1 or more", integer(1), 5)
    .addOption(
      new Option(
        "--protocol <name>",
        "source of the preprocessing: resizing, crop, mean and std; weights with their own mean and std keep them",
      )
        .choices(PROTOCOLS)
        .default("official"),
    )
    .addOption(
      new Option("--head <name>", "answer of a distilled model: the mean of both heads' logits, the sum of their softmax, or one head")
        .choices(headChoices)
        .default("mean"),
    )
    .option("--batch-size <n>", "images per forward pass, 1 or more", integer(1), 8)
    .option("--maps <folder>", "write PNGs of the attention rollout and of the last block's heads over each image")
    .addOption(
      new Option("--dtype <name>", "storage of activations and matrices; sums are f32 in both cases")
        .choices(["f32", "f16"])
        .default("f32"),
    )
    .option("--resize-pos-embed", "interpolate the weights' position embedding to the model's resolution")
    .action(async (images: string[], options: Options) => {
      const { weights, topk, protocol, head, batchSize, maps, resizePosEmbed, dtype } = options;
      const args: ClassifyArgs = {
        weights,
        model: options.model === undefined ? undefined : parseModel(options.model),
        k: topk,
        protocol,
        head,
        batchSize,
        maps,
        resizePosEmbed,
        dtype,
        images: imagesIn(images),
      };
      const { results, warmUpMs, imagesPerSecond } = await runJob<ClassifyResult>("classify", args, options);
      for (const { name, top, error } of results) {
        if (error !== undefined) continue;
        print(`${shown(name)}\n`);
        for (const { label, probability } of top) print(`  ${(100 * probability).toFixed(2).padStart(6)} %  ${shown(label)}\n`);
      }
      note(`warm-up ${warmUpMs.toFixed(0)} ms, then ${imagesPerSecond.toFixed(2)} images/s`);
      refuseFailed(results);
    });
}

/** Names each image without an answer. Exit code 1 if some have none, 2 if no image can be read. */
function refuseFailed(results: readonly Classified[]): void {
  const failed = results.filter((r) => r.error !== undefined);
  if (failed.length === 0) return;
  const line = ({ name, error }: Classified): string => `"${shown(name)}": ${shown(error!)}`;
  const none = failed.length === results.length && !failed.some((r) => /finite logits/.test(r.error!));
  if (failed.length > 1) for (const result of failed) note(`no answer for ${line(result)}`);
  const got = `none for ${failed.length === 1 ? line(failed[0]!) : `the ${failed.length} of ${results.length} named above`}`;
  const message = `expected an answer for every image, got ${got}`;
  throw none ? new UsageError(message) : new Error(message);
}
