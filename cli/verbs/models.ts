/** `models`: the models there are by name, with their sizes. Needs no adapter. */
import type { Command } from "commander";
import { nodeHost } from "../node/host.ts";
import { writeJson, type CommonOptions } from "../run-job.ts";
import { print } from "../output.ts";

export default function (program: Command): void {
  program
    .command("models")
    .description("list the models by name, with parameters, and multiply-adds and layer outputs for one image")
    .action(async (options: CommonOptions) => {
      const [{ createModel, modelNames }, { countParams }] = await Promise.all([
        import("../../models/model.ts"),
        import("../../models/params.ts"),
      ]);
      const models = modelNames.map((name) => {
        const { params, macs, activations, imageShape, numClasses } = createModel(name);
        return { name, image: imageShape, classes: numClasses, parameters: countParams(params), macs, activations };
      });
      const rows = models.map((m) => [
        m.name,
        m.image.join("x"),
        `${millions(m.parameters)} M`,
        `${(m.macs / 1e9).toFixed(2)} G`,
        `${millions(m.activations)} M`,
      ]);
      const head = ["model", "image", "parameters", "multiply-adds", "activations"];
      const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
      for (const row of [head, ...rows])
        print(`${row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ")}\n`);
      if (options.json) await writeJson(nodeHost(), options.json, { models });
    });
}

const millions = (n: number): string => (n / 1e6).toFixed(2);
