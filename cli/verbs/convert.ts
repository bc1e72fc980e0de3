/** `tessera convert`: checkpoints between timm's, Hugging Face's and PyTorch's layouts. Needs no adapter. */
import { basename, dirname, join } from "node:path";
import { Option, type Command } from "commander";
import type { Container } from "../../models/checkpoints/formats.ts";
import { refusing, UsageError } from "../../jobs/errors.ts";
import { shown } from "../../models/shown.ts";
import { nodeHost } from "../node/host.ts";
import { writeJson, type CommonOptions } from "../run-job.ts";
import { note, print } from "../output.ts";

interface Options extends CommonOptions {
  readonly in: string;
  readonly out: string;
  readonly to: "timm" | "hf";
  readonly from: "auto" | "timm" | "hf";
  readonly shardMb: string;
  readonly ema?: boolean;
  readonly key?: string;
}

const INDEX = ".safetensors.index.json";

export default function (program: Command): void {
  program
    .command("convert")
    .description("convert weights between timm's and Hugging Face's names, safetensors and .pth; every F32 value keeps its bits")
    .requiredOption("--in <file|url>", "weights or checkpoint: safetensors, PyTorch's .pth or .bin, or an index.json of several files")
    .requiredOption(
      "--out <file>",
      `.safetensors; NAME${INDEX} for several files; .pth, .pt or .bin (with timm's names: under the key "model")`,
    )
    .addOption(
      new Option(
        "--to <names>",
        "names to write; timm: also FILE.sh with the command that continues the training in timm, if the file holds its recipe",
      )
        .choices(["timm", "hf"])
        .makeOptionMandatory(),
    )
    .addOption(new Option("--from <names>", "names to expect").choices(["auto", "timm", "hf"]).default("auto"))
    .option("--shard-mb <n>", "with an index as --out: most megabytes (10^6 bytes) of tensors per file, above 0", "5000")
    .option("--ema", "take the weights' moving average from a .pth training checkpoint")
    .option(
      "--key <name>",
      "for a checkpoint with several models: key of the state dict (a.b for a dict within a dict), or the prefix of its names",
    )
    .action(async (options: Options) => {
      const container = containerOf(options.out);
      const maxBytes = 1e6 * Number(options.shardMb);
      if (!(maxBytes > 0)) throw new UsageError(`expected a positive number for --shard-mb, got "${options.shardMb}"`);
      const [{ convertedFile, convertedShards, convertWeights }, { readAnyWeightsFile }] = await Promise.all([
        import("../../jobs/convert/weights.ts"),
        import("../../jobs/files/weights-file.ts"),
      ]);
      const host = nodeHost();
      const read = await readAnyWeightsFile(host, options.in, { ema: options.ema, key: options.key });
      const done = refusing(
        () => convertWeights(read, { to: options.to, from: options.from === "auto" ? undefined : options.from }),
        options.in,
      );

      const files = new Map<string, Uint8Array>();
      if (container === "sharded") {
        const { shards, index } = convertedShards(done, basename(options.out, INDEX), maxBytes);
        for (const [name, bytes] of shards) files.set(join(dirname(options.out), name), bytes);
        files.set(options.out, index); // last: an index never stands without its files
      } else {
        files.set(options.out, convertedFile(done, container));
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
