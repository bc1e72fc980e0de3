/** `tessera convert`: checkpoints between timm's, Hugging Face's and PyTorch's layouts, and to ONNX. Needs no adapter. */
import { basename, dirname, join } from "node:path";
import { Option, type Command } from "commander";
import type { AnyWeights, Container } from "../../models/checkpoints/formats.ts";
import { headChoices } from "../../models/heads.ts";
import { refusing, UsageError } from "../../jobs/errors.ts";
import type { Host } from "../../jobs/host.ts";
import { shown } from "../../models/shown.ts";
import { nodeHost } from "../node/host.ts";
import { writeJson } from "../run-job.ts";
import type { ConvertOnnxOptions } from "../convert-onnx.ts";
import { note, print } from "../output.ts";

interface Options extends ConvertOnnxOptions {
  readonly to: "timm" | "hf" | "onnx";
  readonly shardMb: string;
  readonly ema?: boolean;
  readonly key?: string;
  readonly adapter?: string;
}

const INDEX = ".safetensors.index.json";

export default function (program: Command): void {
  program
    .command("convert")
    .description(
      "convert weights between timm's and Hugging Face's names, safetensors and .pth, every F32 value with its bits unless f16 is asked for; or to ONNX for other runtimes",
    )
    .requiredOption("--in <file|url>", "weights or checkpoint: safetensors, PyTorch's .pth or .bin, or an index.json of several files")
    .requiredOption(
      "--out <file>",
      `.safetensors; NAME${INDEX} for several files; .pth, .pt or .bin (with timm's names: under the key "model"); for onnx FILE.onnx, or a folder for transformers.js: ONNX file, config.json (labels) and preprocessor_config.json`,
    )
    .addOption(
      new Option(
        "--to <names>",
        "names to write; timm: also FILE.sh with the command that continues the training in timm, if the file holds its recipe; onnx: a graph with the weights, pixel_values [N,3,H,W] to logits [N,K] (and logits_cls, logits_dist; without a head: features)",
      )
        .choices(["timm", "hf", "onnx"])
        .makeOptionMandatory(),
    )
    .addOption(new Option("--from <names>", "names to expect").choices(["auto", "timm", "hf"]).default("auto"))
    .option("--shard-mb <n>", "with an index as --out: most megabytes (10^6 bytes) of tensors per file, above 0", "5000")
    .option("--ema", "take the weights' moving average from a .pth training checkpoint")
    .option(
      "--key <name>",
      "for a checkpoint with several models: key of the state dict (a.b for a dict within a dict), or the prefix of its names",
    )
    .option("--adapter <folder>", "merge a LoRA adapter (PEFT's adapter_model.safetensors and adapter_config.json) into the weights first")
    .option("--model <name|json>", "for onnx, if the file does not name its model: timm name, JSON file, or JSON")
    .addOption(
      new Option(
        "--dtype <name>",
        "how weights are stored: in safetensors f16 is for matrices, and biases and statistics stay f32; for onnx also how they are computed with, with inputs and outputs in f32 (default: f32)",
      ).choices(["f32", "f16"]),
    )
    .addOption(
      new Option(
        "--head <name>",
        "for onnx: logits of a distilled model: the mean of both heads', the sum of their softmax, or one head (default: mean)",
      ).choices(headChoices),
    )
    .action(async (options: Options) => {
      if (options.to === "onnx") return toOnnx(options);
      const only = (["model", "head"] as const).find((name) => options[name] !== undefined);
      if (only) throw new UsageError(`expected --${only} with --to onnx, got --to ${options.to}`);
      const { to } = options;
      const container = containerOf(options.out);
      if (options.dtype === "f16" && container === "torch")
        throw new UsageError(`expected --dtype f16 with safetensors or onnx, got --out ${options.out}`);
      const maxBytes = 1e6 * Number(options.shardMb);
      if (!(maxBytes > 0)) throw new UsageError(`expected a positive number for --shard-mb, got "${options.shardMb}"`);
      const { convertedFile, convertedShards, convertWeights } = await import("../../jobs/convert/weights.ts");
      const host = nodeHost();
      const read = await readInput(host, options);
      const done = refusing(() => convertWeights(read, { to, from: options.from === "auto" ? undefined : options.from }), options.in);

      const files = new Map<string, Uint8Array>();
      if (container === "sharded") {
        const { shards, index } = refusing(() => convertedShards(done, basename(options.out, INDEX), maxBytes, options.dtype), options.in);
        for (const [name, bytes] of shards) files.set(join(dirname(options.out), name), bytes);
        files.set(options.out, index); // last: an index never stands without its files
      } else {
        files.set(
          options.out,
          refusing(() => convertedFile(done, container, options.dtype), options.in),
        );
      }
      const command = await commandFor(read.metadata["tessera"], options);
      if (command !== null) files.set(`${options.out}.sh`, new TextEncoder().encode(command));
      for (const [path, bytes] of files) await host.writeFile(path, bytes);

      const { ignored, notFinite, from, fromContainer } = done;
      if (ignored.length > 0)
        note(`left out: ${ignored.slice(0, 8).map(shown).join(", ")}${ignored.length > 8 ? ` and ${ignored.length - 8} more` : ""}`);
      if (notFinite.length > 0) note(`warning: NaN or infinity, kept as it is, in ${notFinite.map(shown).join(", ")}`);
      const size = [...files.values()].reduce((n, b) => n + b.length, 0);
      print(`${done.state.size} tensors, ${from} (${fromContainer}) to ${options.to} (${container}), ${size} bytes\n`);
      if (command !== null) print(`\nto go on training with timm (${options.out}.sh):\n${command}`);
      if (options.json)
        await writeJson(host, options.json, {
          from,
          fromContainer,
          to: options.to,
          container,
          tensors: done.state.size,
          ignored,
          notFinite,
          bytes: size,
          files: [...files.keys()],
          command,
        });
    });
}

async function toOnnx(options: Options): Promise<void> {
  const { convertFileToOnnx } = await import("../convert-onnx.ts");
  const host = nodeHost();
  await convertFileToOnnx(host, await readInput(host, options), options);
}

/** The file, with an adapter merged into it where one is given. */
async function readInput(host: Host, { in: path, ema, key, adapter }: Options): Promise<AnyWeights> {
  const [{ readAnyWeightsFile }, { withAdapter }] = await Promise.all([
    import("../../jobs/files/weights-file.ts"),
    import("../../jobs/convert/adapter.ts"),
  ]);
  const read = await readAnyWeightsFile(host, path, { ema, key });
  return adapter === undefined ? read : withAdapter(host, read, adapter);
}

function containerOf(path: string): Container | "sharded" {
  if (path.endsWith(INDEX) && basename(path) !== INDEX) return "sharded";
  const ending = /\.(safetensors|pth|pt|bin)$/.exec(path)?.[1];
  if (ending === undefined) throw new UsageError(`expected --out to end in .safetensors, ${INDEX}, .pth, .pt or .bin, got "${path}"`);
  return ending === "safetensors" ? "safetensors" : "torch";
}

/** The timm command that continues a Tessera training checkpoint; `null` for other files. */
async function commandFor(record: string | undefined, options: Options): Promise<string | null> {
  if (record === undefined || options.to !== "timm") return null;
  const [{ timmCommand }, { runOf }] = await Promise.all([
    import("../../jobs/convert/timm-command.ts"),
    import("../../jobs/convert/run-record.ts"),
  ]);
  return timmCommand({ ...refusing(() => runOf(record), options.in), weights: basename(options.out) });
}
