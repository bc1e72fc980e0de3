/**
 * The family at its real size against timm (test/golden/family.py): logits and every block's or stage's activations of the eight DeiT and of
 * RegNetY-400MF, 4GF and 16GF, and every parameter's gradient of DeiT-Ti, distilled Ti and distilled S. Prints the table of RESULTS.md.
 */
import { afterAll, describe, test } from "vitest";
import { adapterName, getDevice } from "../../engine/device.ts";
import { createModel } from "../../models/model.ts";
import { backwardNames, forwardNames, judgeBackward, judgeForward, runBackward, runForward, type Worst } from "../golden/family.ts";

const rows: string[] = [];
const cell = ({ error, of }: Worst) => `${error.toExponential(1)} at ${of.replace("gradient of ", "")}`;
const row = (...cells: string[]) => void rows.push(`| ${cells.join(" | ")} |`);

/** Seconds of the run alone, and how fast that is. A backward counts as two forwards. */
const speed = (name: string, ms: number, passes: number) =>
  `${(ms / 1000).toFixed(1)} s | ${((2 * 2 * passes * createModel(name).macs) / ms / 1e6).toFixed(1)}`;

afterAll(() => {
  const head = ["| model | worst logit or loss | worst activation or gradient | run, 2 images | GFLOP/s |", "|---|---|---|---|---|"];
  process.stdout.write(`\nadapter: ${adapterName(getDevice().adapter)}\n\n${[...head, ...rows].join("\n")}\n`);
});

describe("logits and activations as timm's", () => {
  test.each(forwardNames)("%s", async (name) => {
    const result = await runForward(name);
    const { logits, activations } = judgeForward(name, result);
    row(`\`${name}\``, cell(logits), cell(activations), speed(name, result.ms, 1));
  });
});

describe("loss and every parameter's gradient as timm's", () => {
  test.each(backwardNames)("%s", async (name) => {
    const result = await runBackward(name);
    const { loss, gradients } = judgeBackward(name, result);
    row(`\`${name}\`, forward and backward`, cell(loss), cell(gradients), speed(name, result.ms, 3));
  });
});
