/** The header of kernels/rows/rows.ts shows one small kernel as it is generated. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { withRecorder, type Launch } from "../../engine/launch.ts";
import { Tensor } from "../../engine/tensor.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";

const words = (text: string): string =>
  text
    .replace(/\/\/.*/g, "")
    .replace(/\s+/g, " ")
    .trim();

test("the instance in the header of row kernels is what layer norm's forward is for rows of 8", () => {
  const launches: Launch[] = [];
  const [x, weight, bias] = [Tensor.zeros([3, 8]), Tensor.zeros([8]), Tensor.zeros([8])];
  withRecorder({ launches }, () => layerNorm(x, weight, bias, { variant: "register" }));
  const { code } = launches[0]!.pipeline;
  const body = code.slice(code.indexOf("let row ="), code.lastIndexOf("}"));
  const header = readFileSync("kernels/rows/rows.ts", "utf8")
    .split("*/")[0]!
    .replace(/^ \* ?/gm, "");
  expect(words(header)).toContain(words(body));
});
