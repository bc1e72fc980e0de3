/** A small ResNet against timm's values; test/slow/resnet.slow.test.ts has larger ones, whose kernels take a software adapter minutes to compile. */
import golden from "../golden/resnet.json" with { type: "json" };
import { resnetCases } from "../golden/resnet.ts";

export const cases = resnetCases(golden.small);
