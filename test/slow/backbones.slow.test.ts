/**
 * DeiT III, DINO, DINOv2, MAE and ViT at their real size against timm (test/golden/backbones.py): logits or features and every block's
 * activations, and every parameter's gradient. Prints the table of RESULTS.md.
 */
import { afterAll, describe, test } from "vitest";
import { adapterName, getDevice } from "../../engine/device.ts";
import {
  judgeBackward,
  judgeForward,
  otherBackwardNames,
  otherForwardNames,
  runBackward,
  runForward,
  type Worst,
} from "../golden/family.ts";

const rows: string[] = [];
const cell = ({ error, of }: Worst) => `${error.toExponential(1)} at ${of.replace("gradient of ", "")}`;
const row = (...cells: string[]) => void rows.push(`| ${cells.join(" | ")} |`);
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

afterAll(() => {
  const head = ["| model | worst logit, feature or loss | worst activation or gradient | run, 2 images |", "|---|---|---|---|"];
  process.stdout.write(`\nadapter: ${adapterName(getDevice().adapter)}\n\n${[...head, ...rows].join("\n")}\n`);
});

describe("logits or features, and activations, as timm's", () => {
  test.each(otherForwardNames)("%s", async (name) => {
    const result = await runForward(name);
    const { logits, activations } = judgeForward(name, result);
    row(`\`${name}\``, cell(logits), cell(activations), seconds(result.ms));
  });
});

describe("loss and every parameter's gradient as timm's", () => {
  test.each(otherBackwardNames)("%s", async (name) => {
    const result = await runBackward(name);
    const { loss, gradients } = judgeBackward(name, result);
    row(`\`${name}\`, forward and backward`, cell(loss), cell(gradients), seconds(result.ms));
  });
});
