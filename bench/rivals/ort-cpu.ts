/** onnxruntime-node on the processor: what the machine can do without an adapter. */
import { availableParallelism } from "node:os";
import type { Contender, RivalOptions } from "../contender.ts";
import { loadOrt } from "./ort-node.ts";
import { ortContender } from "./ort.ts";

export default async function start({ base }: RivalOptions): Promise<Contender> {
  const { ort, version } = loadOrt(base);
  const threads = availableParallelism();
  return ortContender(ort, {
    name: "ort-cpu",
    version,
    session: { executionProviders: ["cpu"], intraOpNumThreads: threads },
    flags: { provider: "cpu", on: "processor", threads },
  });
}
