/** ResNets of more blocks and sizes than test/cases/resnet.ts has, against timm's values. */
import { test } from "vitest";
import golden from "../golden/resnet.json" with { type: "json" };
import { resnetCases } from "../golden/resnet.ts";

for (const { name, run } of resnetCases(golden.larger)) test(name, { timeout: 3_600_000 }, async () => void (await run()));
