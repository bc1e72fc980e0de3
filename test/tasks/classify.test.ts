/** Loading, classifying, features and attention as an app calls them. */
import { readFile } from "node:fs/promises";
import { afterAll, describe, expect, test } from "vitest";
import { openNodeDevice } from "../../cli/node/adapter.ts";
import { noGrad } from "../../engine/autograd.ts";
import { getDevice, initDevice } from "../../engine/device.ts";
import { scope } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { normalizeImages } from "../../kernels/augment/normalize.ts";
import { inputBytes, preprocess, preprocessing } from "../../models/images/protocols.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams } from "../../models/params.ts";
import { IMAGENET_LABELS } from "../../tasks/imagenet.ts";
import { loadModel } from "../../tasks/load-model.ts";
import { toHuggingFace } from "../../models/checkpoints/names.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { LABELS, picture, TINY, tinyFile } from "./pictures.ts";

const PHOTO = picture(37, 29, (x, y) => [6 * x, 8 * y, (x * y) % 256]);

/** The same by the parts that the library is made of. */
async function reference(head: "logits" | "logitsCls" | "logitsDist"): Promise<Float32Array> {
  const model = createModel(TINY);
  const rgb = { width: 37, height: 29, data: PHOTO.data.filter((_, i) => i % 4 < 3) as unknown as Uint8Array };
  const steps = preprocessing("timm", model.name, 16);
  const answer = scope(() => {
    const params = loadParams(model.name, model.params, initialState(model.params, 7));
    const x = normalizeImages(Tensor.from(inputBytes([preprocess(rgb, steps)]), [1, 3, 16, 16], "u8"), steps);
    return noGrad(() => model.forward(params, x)[head]!);
  });
  const values = await answer.floats();
  answer.dispose(); // what is left for garbage collection would be missed by the tests of memory
  return values;
}

const softmax = (logits: Float32Array): number[] => {
  const e = Array.from(logits, (v) => Math.exp(v - Math.max(...logits)));
  return e.map((v) => v / e.reduce((a, b) => a + b));
};

describe("classify", () => {
  test.each([
    ["mean", "logits"],
    ["class", "logitsCls"],
    ["distillation", "logitsDist"],
  ] as const)("by the %s head gives the model's own probabilities", async (head, output) => {
    const model = await loadModel(tinyFile(), { head });
    const found = await model.classify(PHOTO);
    const expected = softmax(await reference(output));
    expect(found.map((p) => p.probability)).toEqual([...found.map((p) => p.probability)].sort((a, b) => b - a));
    for (const { label, index, probability } of found) {
      expect(label).toBe(LABELS[index]);
      expect(probability).toBeCloseTo(expected[index]!, 5);
    }
    expect(await model.classify(PHOTO, { topK: 2 })).toEqual(found.slice(0, 2));
    model.dispose();
  });

  test("a list is answered as each picture alone, whatever its length", async () => {
    const model = await loadModel(tinyFile());
    const images = Array.from({ length: 7 }, (_, i) => picture(20 + i, 18, (x) => [10 * x, 30 * i, 200 - 20 * i]));
    const together = await model.classify(images);
    for (const [i, image] of images.entries()) {
      const alone = await model.classify(image);
      expect(together[i]!.map((p) => p.label)).toEqual(alone.map((p) => p.label));
      together[i]!.forEach((p, k) => expect(p.probability).toBeCloseTo(alone[k]!.probability, 5));
    }
    expect(await Promise.all(images.map((image) => model.classify(image)))).toEqual(
      await Promise.all(images.map((image) => model.classify(image))),
    );
    model.dispose();
  });

  test("a texture of the app's is answered as its pixels", async () => {
    const model = await loadModel(tinyFile());
    const { width, height, data } = PHOTO;
    const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST;
    const texture = getDevice().gpu.createTexture({ size: [width, height], format: "rgba8unorm", usage });
    getDevice().gpu.queue.writeTexture({ texture }, data as Uint8ClampedArray<ArrayBuffer>, { bytesPerRow: 4 * width }, [width, height]);
    expect(await model.classify(texture)).toEqual(await model.classify(PHOTO));
    texture.destroy();
    model.dispose();
  });

  test("a signal stops it, before and between pictures, and features and attention too", async () => {
    const model = await loadModel(tinyFile());
    const gone = AbortSignal.abort(new Error("no longer wanted"));
    for (const work of [
      model.classify(PHOTO, { signal: gone }),
      model.features(PHOTO, { signal: gone }),
      model.attention(PHOTO, { signal: gone }),
    ])
      await expect(work).rejects.toThrow("no longer wanted");
    const stop = new AbortController();
    const { launches } = getDevice().stats;
    const many = model.classify(new Array<ImageData>(500).fill(PHOTO), { signal: stop.signal });
    stop.abort();
    await expect(many).rejects.toBe(stop.signal.reason);
    expect(getDevice().stats.launches - launches).toBeLessThan(200); // not the 32 batches of them all
    expect(await model.classify(PHOTO)).toHaveLength(5);
    model.dispose();
  });

  test("a file cannot be decoded without a browser, which is said", async () => {
    const model = await loadModel(tinyFile());
    const file = new Blob([new Uint8Array(await readFile("test/golden/images/rgb.jpg"))], { type: "image/jpeg" });
    await expect(model.classify(file)).rejects.toThrow(
      /^picture: expected a platform that decodes files, got image\/jpeg of \d+ bytes where there is none: give \{ data, width, height \}$/,
    );
    model.dispose();
  });

  test("1,000 calls leave bytes, tensors and buffers as they were", async () => {
    const model = await loadModel(tinyFile());
    await model.classify(PHOTO);
    const { bytesLive, tensorsLive, buffersCreated } = getDevice().stats;
    for (let i = 0; i < 1000; i++) await model.classify(PHOTO);
    const after = getDevice().stats;
    expect({ bytesLive: after.bytesLive, tensorsLive: after.tensorsLive }).toEqual({ bytesLive, tensorsLive });
    expect(after.buffersCreated).toBe(buffersCreated);
    model.dispose();
  });

  test("dispose() gives all memory back", async () => {
    const { bytesLive, tensorsLive } = getDevice().stats;
    const model = await loadModel(tinyFile());
    await model.classify([PHOTO, PHOTO, PHOTO]);
    await model.features(PHOTO);
    await model.attention(PHOTO);
    model.dispose();
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(getDevice().stats).toMatchObject({ bytesLive, tensorsLive });
    await expect(model.classify(PHOTO)).rejects.toThrow(/disposed of/);
  });

  test("a lost device is replaced at the next call, and the answer is the same", async () => {
    const model = await loadModel(tinyFile());
    const before = await model.classify(PHOTO);
    const lost = getDevice();
    lost.gpu.destroy();
    expect(await model.classify(PHOTO)).toEqual(before);
    expect(await initDevice()).not.toBe(lost);
    model.dispose();
  });
  afterAll(() => openNodeDevice(process.env["TESSERA_ICD"]));
});

describe("features and attention", () => {
  test("a transformer's class token, mean and all tokens agree with each other", async () => {
    const model = await loadModel(tinyFile());
    const all = await model.features(PHOTO, { pool: "none" });
    expect(all).toHaveLength(18 * 24); // class, distillation, 4 x 4 patches
    expect(await model.features(PHOTO)).toEqual(all.slice(0, 24));
    const mean = await model.features(PHOTO, { pool: "mean" });
    for (let d = 0; d < 24; d++) {
      let sum = 0;
      for (let n = 2; n < 18; n++) sum += all[24 * n + d]!;
      expect(mean[d]).toBeCloseTo(sum / 16, 5);
    }
    expect(await model.features([PHOTO], { block: 0 })).not.toEqual([await model.features(PHOTO, { block: 1 })]);
    await expect(model.features(PHOTO, { block: 2 })).rejects.toThrow(/a block from 0 to 1/);
    model.dispose();
  });

  test.each(["cls", "mean"] as const)("with a norm after the pooling, %s is normalised, as the classifier reads it", async (pool) => {
    const model = await loadModel(tinyFile({ ...TINY, distilled: false, pool: "mean", fcNorm: true }));
    const features = await model.features(PHOTO, { pool });
    expect(features).toHaveLength(24);
    const [sum, squares] = features.reduce(([a, b], v) => [a! + v, b! + v * v], [0, 0]) as [number, number];
    expect(sum / 24).toBeCloseTo(0, 4);
    expect(squares / 24).toBeCloseTo(1, 2);
    model.dispose();
  });

  test("a RegNetY's features are its last stage's mean", async () => {
    const config = { arch: "regnety", imgSize: 16, w0: 8, wa: 4, wm: 2, groupWidth: 8, depth: 2, stemWidth: 8, numClasses: 5 };
    const model = await loadModel(tinyFile(config));
    const all = await model.features(PHOTO, { pool: "none" });
    const mean = await model.features(PHOTO);
    const P = all.length / mean.length;
    mean.forEach((v, c) => expect(v).toBeCloseTo(all.subarray(c * P, (c + 1) * P).reduce((a, b) => a + b, 0) / P, 4));
    await expect(model.features(PHOTO, { pool: "cls" })).rejects.toThrow(/of a convolutional network/);
    await expect(model.attention(PHOTO)).rejects.toThrow(/expected a vision transformer/);
    expect((await model.classify(PHOTO)).length).toBe(5);
    model.dispose();
  });

  test("attention is a map of patches: the rollout, or one head's", async () => {
    const model = await loadModel(tinyFile());
    const { side, weights } = await model.attention(PHOTO);
    expect([side, weights.length]).toEqual([4, 16]);
    expect(weights.reduce((a, b) => a + b)).toBeLessThan(1);
    const one = await model.attention(PHOTO, { token: "distillation", block: 1, head: 1 });
    expect(one.area).toEqual({ x: 0.1, y: 0, width: 0.8, height: 1 }); // the middle 16 columns of 20 by 16
    expect(one.weights).not.toEqual((await model.attention(PHOTO, { block: 1, head: 1 })).weights);
    await expect(model.attention(PHOTO, { block: 0, head: 2 })).rejects.toThrow(/a head from 0 to 1/);
    model.dispose();
  });
});

describe("save and load", () => {
  test.each([
    ["safetensors", "timm"],
    ["safetensors", "hf"],
    ["pth", "timm"],
    ["onnx", "timm"],
  ] as const)("%s with names of %s brings labels, preprocessing and bits back", async (format, names) => {
    const model = await loadModel(tinyFile(), { protocol: "official", labels: ["v", "w", "x", "y", "z"] });
    const again = await loadModel(await model.save({ format, names }));
    expect(again.labels).toEqual(["v", "w", "x", "y", "z"]);
    expect(again.config).toEqual(model.config);
    expect(await again.classify(PHOTO)).toEqual(await model.classify(PHOTO));
    for (const m of [model, again]) m.dispose();
  });

  test("another input size: positions interpolated, and kept by save()", async () => {
    const model = await loadModel(tinyFile(), { inputSize: 24 });
    expect(model.config.imgSize).toBe(24);
    expect((await model.attention(PHOTO)).side).toBe(6);
    const again = await loadModel(await model.save());
    expect(await again.classify(PHOTO)).toEqual(await model.classify(PHOTO));
    for (const m of [model, again]) m.dispose();
  });

  test("a file that says nothing of itself is read by name, Hugging Face's names too", async () => {
    const base = createModel("deit_tiny_patch16_224");
    const { state } = toHuggingFace(initialState(createModel({ ...base.config, depth: 1, imgSize: 32 }).params, 1));
    const bytes = writeSafetensors(new Map([...state].map(([name, t]) => [name, { dtype: "F32" as const, ...t }])));
    const model = await loadModel(bytes, { model: { ...base.config, depth: 1, imgSize: 32 } as typeof base.config });
    expect(model.labels).toBe(model.labels);
    expect(model.labels.slice(0, 2)).toEqual(IMAGENET_LABELS.slice(0, 2));
    model.dispose();
  });

  test("what does not fit is refused by what it is", async () => {
    const bare = writeSafetensors(new Map([["x", { dtype: "F32" as const, shape: [1], data: Float32Array.of(1) }]]));
    await expect(loadModel(bare)).rejects.toThrow(/expected a model \(timm's name or a config\)/);
    await expect(loadModel(bare, { model: "deit_tiny_patch16_224" })).rejects.toThrow(/missing: cls_token/);
    await expect(loadModel(new TextEncoder().encode("<!doctype html>"))).rejects.toThrow(
      /WeightsError|expected a safetensors or .pth file/,
    );
    await expect(loadModel(tinyFile(), { labels: ["a"] })).rejects.toThrow(/expected 5 labels.*got 1/);
    await expect(loadModel(tinyFile(), { inputSize: 15 })).rejects.toThrow(/even number of pixels, got 15/);
    const plain = tinyFile({ ...TINY, distilled: false });
    await expect(loadModel(plain, { head: "distillation" })).rejects.toThrow(/expected a distilled model/);
    await expect(loadModel(tinyFile(), { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    const model = await loadModel(plain);
    await expect(model.classify(7 as unknown as string)).rejects.toThrow(/expected a URL, Blob, ImageData.*got 7/);
    await expect(model.classify(new Blob(["no picture"]))).rejects.toThrow(/PictureError|expected a pla/);
    await expect(model.classify({ width: 0, height: 1, data: new Uint8ClampedArray(0) } as ImageData)).rejects.toThrow(
      /at least one pixel/,
    );
    await expect(model.attention(PHOTO, { token: "distillation" })).rejects.toThrow(/expected a distilled model/);
    model.dispose();
  });
});

test("ImageNet's names are the 1,000 of timm's list, in its order", async () => {
  expect(IMAGENET_LABELS.length).toBe(1000);
  const bytes = new TextEncoder().encode(`${IMAGENET_LABELS.join("\n")}\n`);
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  // Of timm 1.0.29's imagenet_synset_to_lemma.txt in the order of its imagenet_synsets.txt.
  expect(Buffer.from(sum).toString("hex")).toBe("4eb3da435cf544e4a6f390f62c84cb9c9bb68cf8b14e97f8a063452382e5efd2");
});
