/** A DeiT of two blocks with filled weights, and the command line to run on it. */
import { vi } from "vitest";
import { main } from "../../cli/main.ts";
import type { createModel } from "../../models/model.ts";
import type { State } from "../../models/params.ts";
import { fillState } from "../golden/fill.ts";

/** A command line in this process. */
export async function tessera(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "",
    stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((stderr += text), true));
  vi.spyOn(process.stdout, "write").mockImplementation((text) => ((stdout += text), true));
  const code = await main(args);
  return { code, stdout, stderr };
}

export const SIZE = 48;
export const config = (more: object = {}) =>
  ({
    arch: "deit",
    imgSize: SIZE,
    patchSize: 16,
    inChans: 3,
    dim: 16,
    depth: 2,
    heads: 2,
    mlpRatio: 2,
    numClasses: 1000,
    distilled: true,
    ...more,
  }) as const;
export function weightsOf(model: ReturnType<typeof createModel>): State {
  const values = fillState(model.params.map((p) => [p.name, p.shape]));
  return new Map(model.params.map((p) => [p.name, { shape: p.shape, data: values.get(p.name)! }]));
}
