/** `tessera data cifar10`: the whole data set, fetched once and verified. */
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { fetchCifar10 } from "../jobs-node/cifar10.ts";

export default function (program: Command): void {
  program.command("data")
    .description("fetch a data set into a cache outside the repository; prints where it lies")
    .argument("<name>", "cifar10")
    .action(async (name: string) => {
      if (name !== "cifar10") throw new UsageError(`expected cifar10, got "${name}"`);
      const { train, test } = await fetchCifar10({ log: (line: string) => process.stderr.write(`${line}\n`) });
      process.stdout.write(`${train}\n${test}\n`);
    });
}
