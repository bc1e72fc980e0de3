/**
 * onnxruntime-node with its own native WebGPU (its own Dawn, the same driver). Inputs and results cross the host at each run:
 * it has no way to keep them on the device. Only models are compared, where that is little beside the work.
 */
import { createRequire } from "node:module";
import type { Contender, RivalOptions } from "../contender.ts";
import { ortContender, type Ort } from "./ort.ts";

/** Loaded from where the rivals are installed. */
export function loadOrt(base: string): { ort: Ort; version: string } {
  const require = createRequire(`${base}package.json`);
  const { version } = require("onnxruntime-node/package.json") as { version: string };
  return { ort: require("onnxruntime-node") as Ort, version };
}

export default async function start({ base }: RivalOptions): Promise<Contender> {
  const { ort, version } = loadOrt(base);
  return ortContender(ort, {
    name: "ort",
    version,
    session: { executionProviders: ["webgpu"] },
    flags: { provider: "webgpu (native)", adapter: "its own choice of the same driver's", inputs: "host", outputs: "host" },
    refuse: (c) => (c.work.op === "forward" || c.backward ? null : "not compared: inputs and results would cross the host at each run"),
  });
}
