/**
 * Run as a child process: opens the WebGPU adapter that Dawn finds in Node, computes a few numbers on it, and prints
 * what it is as one line of JSON. A process of its own, because the Vulkan drivers are chosen once, before the first
 * use, and because a broken driver can take its process down.
 */
import { create, globals } from "webgpu";

/** @param {GPU} gpu */
async function probe(gpu) {
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("no adapter");
  const { vendor, architecture, device: model, description, isFallbackAdapter } = adapter.info;
  const features = [...adapter.features];
  const device = await adapter.requestDevice();
  const code =
    "@group(0) @binding(0) var<storage, read_write> y: array<u32>; @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) { y[id.x] = 3u * id.x + 1u; }";
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module: device.createShaderModule({ code }) } });
  const y = device.createBuffer({ size: 16, usage: globals.GPUBufferUsage.STORAGE | globals.GPUBufferUsage.COPY_SRC });
  const out = device.createBuffer({ size: 16, usage: globals.GPUBufferUsage.MAP_READ | globals.GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: y } }] }),
  );
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(y, 0, out, 0, 16);
  device.queue.submit([encoder.finish()]);
  await out.mapAsync(globals.GPUMapMode.READ);
  const got = [...new Uint32Array(out.getMappedRange())].join();
  if (got !== "1,4,7,10") throw new Error(`expected 1,4,7,10 from the adapter, got ${got}`);
  const name = [vendor, architecture, model, description].filter(Boolean).join(" ");
  const software = isFallbackAdapter || /swiftshader|llvmpipe|softpipe|microsoft basic render/i.test(name);
  return { vendor, architecture, device: model, description: description || name, software, features };
}

const gpu = create([]); // in module scope: Dawn dies with its instance
try {
  console.log(JSON.stringify(await probe(gpu)));
  process.exit(0);
} catch (error) {
  console.log(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }));
  process.exit(1);
}
