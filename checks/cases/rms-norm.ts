import { rmsNorm } from "../../kernels/rms-norm.ts";
import type { Case } from "../check.ts";
import { op, positive } from "../op.ts";
import { opCases } from "../op-cases.ts";
import { rmsNormReference } from "../reference/rms-norm.ts";
import { rowKernels, someVariants } from "../row-variants.ts";

const rms = op("rmsNorm", {
  inputs: { x: "[..,D]", weight: "[D]" },
  outputs: "y [..,D]",
  attrs: { eps: positive(1e-6) },
  ...rowKernels("D"),
  run: ({ x, weight }, { eps }, variant) => rmsNorm(x, weight, { eps, variant }),
  reference: ({ x, weight }, shapes, { eps }) => rmsNormReference(shapes.weight[0]!, eps)(x, weight),
  timed: [{ sizes: "788x192" }, { sizes: "12608x768", on: "gpu" }],
});

export const ops = [rms];

const sizes = { "a narrow row": "1x5", "no whole workgroup": "3x7x100", "more rows than a stripe": "2051x8", "a long row": "5x3072" };
export const cases: Case[] = opCases(rms, sizes, ({ D }) => someVariants(D!));
