/** `tessera augment`: named image operations with explicit arguments, byte for byte as Pillow does them. */
import { Option, type Command } from "commander";
import { applyOps, parseOps } from "../../train/augment/ops.ts";
import { decodeImage, encodePng } from "../decode-image.ts";
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
      const host = nodeHost();
      const image = await decodeImage(await host.readFile(options.image), { upright: false })
        .catch((error: Error) => { throw new UsageError(`expected an image that can be decoded at "${options.image}", got: ${error.message.trim().split("\n")[0]}`); });
      await host.writeFile(options.out, await encodePng(applied(() => applyOps(image, ops))));
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
