/** Run by Deno: has naga, wgpu's compiler, parse and validate WGSL. Argument: a JSON file of [label, code] pairs; prints a line for each refused, then their number. */
import { readFileSync } from "node:fs";

const adapter = (await navigator.gpu.requestAdapter())!;
const device = await adapter.requestDevice({ requiredFeatures: adapter.features.has("shader-f16") ? ["shader-f16"] : [] });
const kernels = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as [string, string][];
let refused = 0;
for (const [label, code] of kernels) {
  device.pushErrorScope("validation");
  device.createShaderModule({ label, code });
  const error = await device.popErrorScope();
  if (!error) continue;
  refused++;
  console.log(`${label}: ${error.message}`);
}
console.log(JSON.stringify({ kernels: kernels.length, refused }));
