/** `tessera augment`: named image operations with explicit arguments, on the GPU, or with `--where cpu` byte for byte as Pillow does them. */
import { Option, type Command } from "commander";
import type { RgbImage } from "../../models/images/preprocess.ts";
import { isPlacing, placement } from "../../train/augment/encode.ts";
import { applyOps, parseOps, type AugmentOp } from "../../train/augment/ops.ts";
import { decodeImage, encodePng } from "../node/decode-image.ts";
import { UsageError } from "../../jobs/errors.ts";
import { nodeHost } from "../node/host.ts";
import type { AugmentArgs, PackedImage } from "../../jobs/augment.ts";
import { runJob, writeJson, type CommonOptions } from "../run-job.ts";

interface Options extends Omit<CommonOptions, "where"> {
  readonly image: string;
  readonly ops: string;
  readonly out: string;
  readonly where?: "cpu" | CommonOptions["where"];
}

export default function (program: Command): void {
  program
    .command("augment")
    .description('apply image operations to a file, e.g. --ops \'[{"op":"Rotate","degrees":27}]\'')
    .requiredOption("--image <file>", "image to read")
    .requiredOption("--ops <json>", "JSON list of operations with their arguments, applied in order")
    .requiredOption("--out <file>", "PNG to write")
    .addOption(
      new Option("--where <place>", "where to compute; cpu: the reference with Pillow's arithmetic (default: node)").choices([
        "cpu",
        "node",
        "chromium",
      ]),
    )
    .action(async ({ where, ...options }: Options) => {
      const ops = parse(options.ops);
      const host = nodeHost();
      const image = await decodeImage(await host.readFile(options.image), { upright: false }).catch((error: Error) => {
        throw new UsageError(`expected an image that can be decoded at "${options.image}", got: ${error.message.trim().split("\n")[0]}`);
      });
      const out = where === "cpu" ? applied(() => applyOps(image, ops)) : await onGpu(image, ops, { ...options, where });
      await host.writeFile(options.out, await encodePng(out));
      if (where === "cpu" && options.json) await writeJson(host, options.json, { where, height: out.height, width: out.width });
    });
}

async function onGpu(
  image: RgbImage,
  ops: readonly AugmentOp[],
  { where, adapter, seed, json, debug }: Omit<Options, "where"> & CommonOptions,
): Promise<RgbImage> {
  applied(() => checkPlaces(image, ops));
  const args: AugmentArgs = {
    image: { height: image.height, width: image.width, base64: Buffer.from(image.data).toString("base64") },
    ops,
  };
  const { image: out } = await runJob<{ image: PackedImage }>("augment", args, { where, adapter, seed, json, debug });
  return { height: out.height, width: out.width, data: Buffer.from(out.base64, "base64") };
}

/** Crops that do not fit are refused before a device is asked for. */
function checkPlaces(image: RgbImage, ops: readonly AugmentOp[]): void {
  ops.filter(isPlacing).reduce(
    ({ height, width }, op) => {
      const { down, across } = placement({ height, width }, [op]);
      return { height: down.length, width: across.length };
    },
    { height: image.height, width: image.width },
  );
}

function parse(text: string): ReturnType<typeof parseOps> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`expected --ops as JSON, got ${(error as Error).message}`);
  }
  return applied(() => parseOps(value));
}

/** Makes an error about the image or the list a `UsageError`. */
function applied<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/^\w+: /, ""));
  }
}
