/** `tessera convert`: checkpoints between timm's, Hugging Face's and PyTorch's layouts. Needs no adapter. */
import { Option, type Command } from "commander";
import { UsageError } from "../errors.ts";
import { nodeHost } from "../host.ts";
import { writeJson, type CommonOptions } from "../run-job.ts";

interface Options extends CommonOptions {
  readonly in: string;
  readonly out: string;
  readonly to: "timm" | "hf";
  readonly from: "auto" | "timm" | "hf";
  readonly ema?: boolean;
}

export default function (program: Command): void {
  program.command("convert")
    .description("converts weights between timm's and Hugging Face's names, safetensors and .pth; every F32 value stays as it is")
    .requiredOption("--in <file>", "weights or checkpoint: safetensors, or PyTorch's .pth or .bin")
    .requiredOption("--out <file>", ".safetensors, or .pth, .pt or .bin (with timm's names: under the key \"model\")")
    .addOption(new Option("--to <layout>", "names to write").choices(["timm", "hf"]).makeOptionMandatory())
    .addOption(new Option("--from <layout>", "names to expect").choices(["auto", "timm", "hf"]).default("auto"))
    .option("--ema", "take the moving average of a .pth training checkpoint")
    .action(async (options: Options) => {
      const ending = /\.(safetensors|pth|pt|bin)$/.exec(options.out)?.[1];
      if (ending === undefined) throw new UsageError(`expected --out to end in .safetensors, .pth, .pt or .bin, got "${options.out}"`);
      const { convertWeights } = await import("../convert-weights.ts");
      const host = nodeHost();
      const input = await host.readFile(options.in);
      const container = ending === "safetensors" ? "safetensors" : "torch";
      const from = options.from === "auto" ? undefined : options.from;
      const { bytes, ...result } = readable(options.in, () => convertWeights(input, { to: options.to, container, from, ema: options.ema }));
      await host.writeFile(options.out, bytes);
      if (result.ignored.length > 0) process.stderr.write(`left out: ${result.ignored.join(", ")}\n`);
      process.stdout.write(`${result.tensors} tensors, ${result.from} (${result.fromContainer}) to ${options.to} (${container}), ${bytes.length} bytes\n`);
      if (options.json) await writeJson(host, options.json, { ...result, to: options.to, container, bytes: bytes.length });
    });
}

/** A file that cannot be read or converted is the user's to mend. */
function readable<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new UsageError(`${path}: ${(error as Error).message}`);
  }
}
