/** A small ResNet's forward against timm's values; test/slow/resnet.slow.test.ts has gradients, whose kernels take a software adapter longer. */
import golden from "../golden/resnet.json" with { type: "json" };
import { resnetForward } from "../golden/resnet.ts";

export const cases = resnetForward(golden.small);
