/** `tessera classify`: the most probable classes of image files. */
import type { Command } from "commander";
import sharp from "sharp";
import { UsageError } from "../errors.ts";
import type { Classified, ClassifyArgs } from "../jobs/classify.ts";
import { parseModel } from "../model-options.ts";
import { runJob, type CommonOptions } from "../run-job.ts";

interface Options extends CommonOptions {
  readonly weights: string;
  readonly model?: string;
  readonly topk: string;
  readonly cropPct: string;
}

export default function (program: Command): void {
  program.command("classify")
    .description("top-k classes of image files (JPEG, PNG, WebP and what else sharp reads)")
    .argument("<image...>", "image files")
    .requiredOption("--weights <file>", "weights or checkpoint (.safetensors, .pth, .bin)")
    .option("--model <name|json>", "timm name, JSON file, or JSON; where the file does not say")
    .option("--topk <k>", "how many classes", "5")
    .option("--crop-pct <share>", "share of the resized short side that the centre crop keeps", "1")
    .action(async (images: string[], options: Options) => {
      const [k, cropPct] = [Number(options.topk), Number(options.cropPct)];
      if (!Number.isInteger(k) || k < 1) throw new UsageError(`expected a positive integer for --topk, got "${options.topk}"`);
      if (!(cropPct > 0 && cropPct <= 1)) throw new UsageError(`expected a share in (0, 1] for --crop-pct, got "${options.cropPct}"`);
      const args: ClassifyArgs = {
        weights: options.weights, model: options.model === undefined ? undefined : parseModel(options.model), k, cropPct,
        images: await Promise.all(images.map(decode)),
      };
      const results = await runJob<readonly Classified[]>("classify", args, options);
      for (const { name, top } of results) {
        process.stdout.write(`${name}\n`);
        for (const { label, probability } of top) process.stdout.write(`  ${(100 * probability).toFixed(2).padStart(6)} %  ${label}\n`);
      }
    });
}

/** Upright RGB bytes; transparency is dropped, as Pillow's `convert("RGB")` drops it. */
async function decode(path: string): Promise<ClassifyArgs["images"][number]> {
  try {
    const { data, info } = await sharp(path).rotate().toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`${info.channels} channels`);
    return { name: path, height: info.height, width: info.width, rgb: data.toString("base64") };
  } catch (error) {
    throw new UsageError(`expected an image that can be decoded at "${path}", got ${(error as Error).message.split("\n")[0]}`);
  }
}
