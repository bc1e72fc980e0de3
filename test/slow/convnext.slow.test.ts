/** ConvNeXt-Atto at its real size against timm: logits, every stage, every parameter's gradient, of one image. Prints the row of RESULTS.md. */
import { test } from "vitest";
import { adapterName, getDevice } from "../../engine/device.ts";
import { createModel } from "../../models/model.ts";
import golden from "../golden/convnext.json" with { type: "json" };
import { checkConvnext } from "../golden/convnext.ts";

test("convnext_atto", { timeout: 3_600_000 }, async () => {
  const started = performance.now();
  const cells = await checkConvnext(createModel("convnext_atto"), golden.atto);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(
    `\nadapter: ${adapterName(getDevice().adapter)}\n| \`convnext_atto\` | ${cells.join(" | ")} | ${seconds} s with compilation |\n`,
  );
});
