/** Small ConvNeXts against timm's values, with every gradient. */
import golden from "../golden/convnext.json" with { type: "json" };
import { checkConvnext } from "../golden/convnext.ts";
import type { Case } from "../../checks/check.ts";
import { createModel } from "../../models/model.ts";

export const cases: Case[] = golden.small.map(({ config, ...recorded }) => ({
  name: `convnext: ${config.imgSize} pixels, ${config.numClasses > 0 ? "logits" : "features"}, every stage and gradient, as timm's`,
  run: () => checkConvnext(createModel(config), recorded),
}));
