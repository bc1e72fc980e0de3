/** Small ResNets in evaluation and in training mode, with every gradient, against timm's values. */
import { test } from "vitest";
import golden from "../golden/resnet.json" with { type: "json" };
import { resnetCases } from "../golden/resnet.ts";

for (const { name, run } of resnetCases([...golden.small, ...golden.larger]))
  test(name, { timeout: 3_600_000 }, async () => void (await run()));
