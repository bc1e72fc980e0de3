/** Beside an app's own WebGPU code: its device, its buffers, its textures, its encoder. */
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { decodeImage } from "../../cli/node/decode-image.ts";
import { noGrad } from "../../engine/autograd.ts";
import { closeDevice, getDevice, initDevice, type Device } from "../../engine/device.ts";
import { nodeGPU } from "../../tasks/node.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../kernels/images/app-tensor.ts";
import { normalizeImages } from "../../kernels/augment/normalize.ts";
import { relu, scale } from "../../kernels/elementwise.ts";
import { inputBytes, preprocess, preprocessing } from "../../models/images/protocols.ts";
import type { RgbImage } from "../../models/images/preprocess.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams } from "../../models/params.ts";

const back = () => openNodeDevice(process.env["TESSERA_ICD"]);

describe("buffers and encoders of the app", () => {
  test("a tensor over an app's buffer computes, and neither counts it nor frees it", async () => {
    const { gpu, stats } = getDevice();
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = gpu.createBuffer({ size: 272, usage });
    gpu.queue.writeBuffer(buffer, 256, Float32Array.of(-1, 2, -3, 4));
    const before = { ...stats };
    const x = Tensor.fromBuffer(buffer, [4], { offset: 256 });
    const y = relu(x);
    expect([...(await y.floats())]).toEqual([0, 2, 0, 4]);
    y.dispose();
    x.dispose();
    expect(stats.bytesLive).toBe(before.bytesLive);
    expect(stats.tensorsLive).toBe(before.tensorsLive);
    expect(() => x.buffer()).toThrow(/expected a live tensor/);
    expect([...(await Tensor.fromBuffer(buffer, [4], { offset: 256 }).floats())]).toEqual([-1, 2, -3, 4]); // the buffer lives
    buffer.destroy();
  });

  test("a buffer that does not serve is refused by what is wrong with it", () => {
    const { gpu } = getDevice();
    const small = gpu.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
    const other = gpu.createBuffer({ size: 64, usage: GPUBufferUsage.COPY_DST });
    expect(() => Tensor.fromBuffer(small, [8])).toThrow("Tensor.fromBuffer: expected at least 32 bytes for f32 [8], got 16");
    expect(() => Tensor.fromBuffer(small, [1], { offset: 4 })).toThrow(/multiple of 256 bytes, got 4/);
    expect(() => Tensor.fromBuffer(other, [1])).toThrow(/usage STORAGE/);
    expect(() => Tensor.zeros([2], "f64" as "f32")).toThrow('Tensor.zeros: expected dtype f32, f16, i32, u32, u8, got "f64"');
    expect(() => Tensor.zeros(3 as unknown as number[])).toThrow("Tensor.zeros: expected a shape such as [2,3], got 3");
    for (const b of [small, other]) b.destroy();
  });

  test("buffer() submits what waits; encode() puts a plan between an app's own commands", async () => {
    const { gpu } = getDevice();
    const x = Tensor.from([1, 2, 3, 4], [4]);
    const plan = await record(() => scale(x, 10));
    const source = Tensor.from([5, 6, 7, 8], [4]);
    const doubled = scale(source, 2); // waits on the CPU
    const from = doubled.buffer();
    expect(from.bytes).toBe(16);
    const to = x.buffer();
    const encoder = gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, 16);
    plan.encode(encoder);
    gpu.queue.submit([encoder.finish()]);
    expect([...(await plan.result.floats())]).toEqual([100, 120, 140, 160]);
    plan.dispose();
    expect(() => plan.encode(gpu.createCommandEncoder())).toThrow(/expected a plan in use/);
  });
});

test("a tensor that is dropped gives its memory back when it is collected, and that is said once", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const said = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const { stats } = getDevice();
  const before = stats.bytesLive;
  (() => {
    for (let i = 0; i < 3; i++) Tensor.zeros([1000 + i]);
  })();
  expect(stats.bytesLive).toBe(before + 4 * 3003);
  for (let tries = 0; tries < 50 && stats.bytesLive > before; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    collectGarbage();
  }
  expect(stats.bytesLive).toBeLessThanOrEqual(before);
  expect(said).toHaveBeenCalledTimes(1);
  expect(said.mock.calls[0]![0]).toMatch(/was dropped without dispose\(\).*Use scope\(\) or dispose\(\)/);
  said.mockRestore();
});

describe("pictures on the GPU", () => {
  const rgba = ({ width, height, data }: RgbImage) => {
    const out = new Uint8ClampedArray(4 * width * height).fill(255);
    for (let i = 0; i < width * height; i++) out.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
    return { width, height, data: out, colorSpace: "srgb" } as ImageData;
  };

  test.each([
    ["deit_tiny_patch16_224", "timm", 96],
    ["deit_tiny_patch16_224", "hf", 33],
    ["vit_tiny_patch16_224", "hf", 64],
    ["deit_tiny_patch16_224", "official", 224],
  ] as const)("%s by %s at %i: the CPU's bytes, normalised", async (model, protocol, size) => {
    const photo = await decodeImage(new Uint8Array(await readFile("test/golden/images/rgb.jpg")), { upright: true });
    const steps = preprocessing(protocol, model, size);
    const bytes = inputBytes([preprocess(photo, steps)]);
    const expected = Float32Array.from(bytes, (v, i) => {
      const c = Math.floor(i / (size * size));
      return (v / 255 - steps.mean[c]!) / steps.std[c]!;
    });
    const pixels = rgba(photo);
    const { gpu } = getDevice();
    const texture = gpu.createTexture({
      size: [photo.width, photo.height],
      format: "rgba8unorm",
      usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST,
    });
    gpu.queue.writeTexture({ texture }, pixels.data as Uint8ClampedArray<ArrayBuffer>, { bytesPerRow: 4 * photo.width }, [
      photo.width,
      photo.height,
    ]);
    for (const image of [texture, pixels]) {
      const got = await Tensor.fromImage(image, steps).floats();
      const worst = got.reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i]!)), 0);
      expect(worst).toBeLessThan(1e-5); // a level is 1 / 255 / std > 0.007
    }
    texture.destroy();
  });
});

describe("whose device", () => {
  afterAll(back);
  let gpu: GPU;
  beforeAll(() => {
    closeDevice();
    gpu = nodeGPU();
  });

  test("calls at once make one device; another wish later is an error that says so", async () => {
    const [a, b] = await Promise.all([initDevice({ gpu }), initDevice({ gpu })]);
    expect(a).toBe(b);
    expect(await initDevice()).toBe(a);
    await expect(initDevice({ adapter: "no such adapter" })).rejects.toThrow(
      /expected an adapter named "no such adapter", got .* close\(\) it first/,
    );
    await expect(initDevice({ powerPreference: "low-power" })).rejects.toThrow(/expected low-power, got high-performance/);
    a.close();
    expect((await a.lost).message).toMatch(/device lost/);
    const next = await initDevice({ gpu, powerPreference: "low-power" });
    expect(next).not.toBe(a);
    next.close();
  });

  test("a lost device is replaced with the options it had", async () => {
    const first = await initDevice({ gpu, without: ["subgroups"] });
    first.gpu.destroy();
    await first.lost;
    const second = await initDevice();
    expect(second).not.toBe(first);
    expect(second.features.has("subgroups")).toBe(false);
    second.close();
  });

  async function appDevice(): Promise<{ app: GPUDevice; device: Device }> {
    const adapter = (await gpu.requestAdapter())!;
    const app = await adapter.requestDevice(); // default limits, no features
    return { app, device: await initDevice({ device: app }) };
  }

  afterEach(() => closeDevice());

  async function runModel(): Promise<void> {
    const model = createModel({ arch: "deit", imgSize: 32, patchSize: 8, dim: 24, depth: 2, heads: 2, numClasses: 5, distilled: true });
    const params = loadParams(model.name, model.params, initialState(model.params, 1));
    const x = normalizeImages(Tensor.from(new Uint8Array(3 * 32 * 32).fill(90), [1, 3, 32, 32], "u8"), preprocessing("official", "", 32));
    const plan = await record(() => noGrad(() => model.forward(params, x).logits));
    plan.run();
    expect((await plan.result.floats()).every(Number.isFinite)).toBe(true);
  }

  test("a device of the compatibility level runs a model", async () => {
    await initDevice({ gpu, request: { featureLevel: "compatibility" } });
    await runModel();
  });

  test("an app's device of default limits runs a model", async () => {
    const { app, device } = await appDevice();
    expect(device.owned).toBe(false);
    expect(device.features.has("shader-f16")).toBe(false);
    await runModel();
    device.close();
    expect(device.lostError).not.toBeNull();
    const buffer = app.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ });
    await buffer.mapAsync(GPUMapMode.READ); // the app's device lives on
    app.destroy();
  });

  test("errors of the app reach the app alone, ours reach us alone", async () => {
    const { app, device } = await appDevice();
    const heard: string[] = [];
    app.addEventListener("uncapturederror", (event) => heard.push((event as GPUUncapturedErrorEvent).error.message));
    const x = Tensor.from([1, -1], [2]);
    app.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE, label: "the app's mistake" });
    expect([...(await relu(x).floats())]).toEqual([1, 0]); // nothing of it reaches the engine
    const bad = device.gpu.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE }); // cannot be copied from
    await expect(Tensor.fromBuffer(bad, [4]).read()).rejects.toThrow(/CopySrc/);
    await app.queue.onSubmittedWorkDone();
    expect(heard).toHaveLength(1);
    expect(heard[0]).toMatch(/MapRead/);
    device.close();
    app.destroy();
  });

  test("where a read is answered only after another submit, as in Firefox, reads are answered", async () => {
    const app = await (await gpu.requestAdapter())!.requestDevice();
    const waiting: (() => void)[] = [];
    const [createBuffer, submit] = [app.createBuffer.bind(app), app.queue.submit.bind(app.queue)];
    app.createBuffer = (descriptor) => {
      const buffer = createBuffer(descriptor);
      const map = buffer.mapAsync.bind(buffer);
      buffer.mapAsync = (...args) => new Promise((resolve, reject) => waiting.push(() => map(...args).then(resolve, reject)));
      return buffer;
    };
    app.queue.submit = (commands) => {
      submit(commands);
      for (const answer of waiting.splice(0)) answer();
    };
    const own = Object.getOwnPropertyDescriptor(globalThis, "navigator");
    Object.defineProperty(globalThis, "navigator", {
      value: { userAgent: "Mozilla/5.0 Gecko/20100101 Firefox/150.0" },
      configurable: true,
    });
    try {
      await initDevice({ device: app });
      expect([...(await relu(Tensor.from([3, -3], [2])).floats())]).toEqual([3, 0]);
    } finally {
      if (own) Object.defineProperty(globalThis, "navigator", own);
      else delete (globalThis as { navigator?: unknown }).navigator;
    }
    closeDevice();
    app.destroy();
  });

  test("a second copy of the package in the page adopts the first one's device", async () => {
    const own = Object.getOwnPropertyDescriptor(globalThis, "navigator");
    Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });
    try {
      const path = "../../engine/device.ts?second-copy";
      const copy = (await import(/* @vite-ignore */ path)) as typeof import("../../engine/device.ts");
      expect(copy.initDevice).not.toBe(initDevice);
      const first = await initDevice();
      const second = await copy.initDevice();
      expect(second.gpu).toBe(first.gpu);
      expect([first.owned, second.owned]).toEqual([true, false]);
      second.close(); // of the second copy: the first one's device lives on
      expect([...(await relu(Tensor.from([1, -1], [2])).floats())]).toEqual([1, 0]);
    } finally {
      if (own) Object.defineProperty(globalThis, "navigator", own);
      else delete (globalThis as { navigator?: unknown }).navigator;
    }
  });

  test("an app's lost device is not made again behind its back", async () => {
    const { app } = await appDevice();
    app.destroy();
    await app.lost;
    await expect(initDevice({ device: app })).rejects.toThrow(/one that is lost/);
    await expect(initDevice()).rejects.toThrow(/another device in place of the app's/);
    closeDevice();
  });
});
