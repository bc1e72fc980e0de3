/** `tessera knn`: nearest neighbours, retrieval and a linear probe on features. */
import type { Command } from "commander";
import type { KnnArgs, KnnResult } from "../../jobs/knn.ts";
import { integer, number } from "../options.ts";
import { print } from "../output.ts";
import { runJob, type CommonOptions } from "../run-job.ts";

interface Options extends CommonOptions {
  readonly train: string;
  readonly test: string;
  readonly k: number;
  readonly tau: number;
  readonly probe?: boolean;
  readonly steps: number;
  readonly lr: number;
  readonly weightDecay: number;
}

export default function (program: Command): void {
  program
    .command("knn")
    .description("how well features tell classes apart: weighted vote of the nearest neighbours by cosine similarity, and recall at 1")
    .requiredOption("--train <file>", "features [N,D] and labels [N], as features --data writes them")
    .requiredOption("--test <file>", "the same of the images to judge; the same file: each image is left out of its own neighbours")
    .option("--k <n>", "neighbours that vote, 1 or more", integer(1), 20)
    .option("--tau <t>", "temperature: a neighbour votes with exp(similarity / tau), above 0", number(0, Infinity, { open: true }), 0.07)
    .option("--probe", "also train a linear classifier on the training features: full-batch AdamW from 0, its rate on a cosine to 0")
    .option("--steps <n>", "of --probe, 1 or more", integer(1), 100)
    .option("--lr <lr>", "peak learning rate of --probe, above 0", number(0, Infinity, { open: true }), 0.003)
    .option("--weight-decay <wd>", "of --probe, not applied to the bias, 0 or more", number(0), 0.01)
    .action(async (options: Options) => {
      const { train, test, k, tau, steps, lr, weightDecay } = options;
      const args: KnnArgs = { train, test, k, tau, probe: options.probe ? { steps, lr, weightDecay } : undefined };
      const { count, top1, top5, recall1, probe } = await runJob<KnnResult>("knn", args, options);
      const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
      print(`${count} images\n`);
      print(`nearest neighbours  top-1 ${percent(top1)}   top-5 ${percent(top5)}\n`);
      print(`recall at 1         ${percent(recall1)}\n`);
      if (probe)
        print(
          `linear probe        top-1 ${percent(probe.top1)}   top-5 ${percent(probe.top5)}   (training images ${percent(probe.trainTop1)})\n`,
        );
    });
}
