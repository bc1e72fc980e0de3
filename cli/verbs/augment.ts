/** `tessera augment`: named image operations with explicit arguments, byte for byte as Pillow does them. */
import { Option, type Command } from "commander";
import sharp from "sharp";
import { applyOps, parseOps } from "../../train/augment/ops.ts";
import { UsageError } from "../errors.ts";
import { nodeHost } from "../host.ts";

interface Options {
  readonly image: string;
  readonly ops: string;
  readonly out: string;
  readonly where?: string;
}

export default function (program: Command): void {
  program.command("augment")
    .description("apply image operations to a file, e.g. --ops '[{\"op\":\"Rotate\",\"degrees\":27}]'")
    .requiredOption("--image <file>", "image to read")
    .requiredOption("--ops <json>", "list of operations with their arguments")
    .requiredOption("--out <file>", "PNG to write")
    .addOption(new Option("--where <place>", "cpu: the reference arithmetic").choices(["cpu", "node", "chromium"]))
    .action(async (options: Options) => {
      if (options.where !== "cpu") throw new UsageError(`expected --where cpu (the GPU's augmentation kernels are not there yet), got ${options.where ?? "none"}`);
      const ops = parse(options.ops);
      const { data, info } = await sharp(options.image, { ignoreIcc: true }).toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true })
        .catch((error: Error) => { throw new UsageError(`expected an image that can be decoded at "${options.image}", got ${error.message.split("\n")[0]}`); });
      if (info.channels !== 3) throw new UsageError(`expected an RGB image at "${options.image}", got ${info.channels} channels`);
      const result = applied(() => applyOps({ height: info.height, width: info.width, data }, ops));
      const png = await sharp(result.data, { raw: { width: result.width, height: result.height, channels: 3 } }).png().toBuffer();
      await nodeHost().writeFile(options.out, png);
    });
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

/** What does not fit the image or the list is the caller's to mend. */
function applied<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/^\w+: /, ""));
  }
}
