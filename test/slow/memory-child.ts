/** Loads weights as a command does, in a process of its own, and prints the peaks as JSON. Arguments: way, path, config. */
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { nodeHost } from "../../cli/node/host.ts";
import { readWeightsFile } from "../../jobs/files/weights-file.ts";
import { createModel } from "../../models/model.ts";
import { loadParams, ParameterStore } from "../../models/params.ts";
import { getDevice } from "../../engine/device.ts";

const [way, path, model] = process.argv.slice(2) as [string, string, string];
await openNodeDevice(process.env["TESSERA_ICD"]);
const { params, name } = createModel(model);
const baseline = { js: js(), rss: process.memoryUsage().rss };

function js(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}
// Loading has few pauses for a timer, so every tensor's upload is a sample too.
let peak = 0;
const sample = () => {
  peak = Math.max(peak, js());
};
const timer = setInterval(sample, 5);
const queue = getDevice().gpu.queue;
const write = queue.writeBuffer.bind(queue);
queue.writeBuffer = (...args: Parameters<GPUQueue["writeBuffer"]>) => {
  sample();
  return write(...args);
};

const start = performance.now();
const { state } = await readWeightsFile(nodeHost(), path);
sample();
const tensors = way === "params" ? loadParams(name, params, state) : new ParameterStore(name, params, state).tensors;
sample();
await Object.values(tensors)[0]!.read();
clearInterval(timer);
const seconds = (performance.now() - start) / 1000;
console.log(JSON.stringify({ js: peak - baseline.js, rss: 1024 * process.resourceUsage().maxRSS - baseline.rss, seconds }));
process.exit(0);
