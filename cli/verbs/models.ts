/** `models`: the models there are by name, with their sizes. Needs no adapter. */
import type { Command } from "commander";
import { nodeHost } from "../host.ts";
import { writeJson, type CommonOptions } from "../run-job.ts";

const SIZES = ["tiny", "small", "base"];
const TRANSFORMERS = [
  ...SIZES.map((size) => `deit_${size}_patch16_224`), "deit_base_patch16_384",
  ...SIZES.map((size) => `deit_${size}_distilled_patch16_224`), "deit_base_distilled_patch16_384",
  ...SIZES.flatMap((size) => [`vit_${size}_patch16_224`, `vit_${size}_patch16_384`]),
];

export default function (program: Command): void {
  program.command("models")
    .description("the models by name, with parameters and multiply-adds of one image")
    .action(async (options: CommonOptions) => {
      const [{ createModel }, { countParams }, { regnetNames }] = await Promise.all([
        import("../../models/model.ts"), import("../../models/params.ts"), import("../../models/regnet.ts"),
      ]);
      const models = [...TRANSFORMERS, ...regnetNames].map((name) => {
        const { params, macs, imageShape, numClasses } = createModel(name);
        return { name, image: imageShape, classes: numClasses, parameters: countParams(params), macs };
      });
      const rows = models.map((m) => [m.name, m.image.join("x"), `${(m.parameters / 1e6).toFixed(2)} M`, `${(m.macs / 1e9).toFixed(2)} G`]);
      const head = ["model", "image", "parameters", "multiply-adds"];
      const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
      for (const row of [head, ...rows]) process.stdout.write(`${row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ")}\n`);
      if (options.json) await writeJson(nodeHost(), options.json, { models });
    });
}
