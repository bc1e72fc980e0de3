/** Checkpoints of PyTorch, timm and Hugging Face are read and converted bit for bit: files of Python's (test/golden/checkpoints.py). */
import { describe, expect, test } from "vitest";
import { convertedFile, convertWeights } from "../../jobs/convert/weights.ts";
import { noGrad } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { type Container, readAnyWeights } from "../../models/checkpoints/formats.ts";
import { type Naming, toHuggingFace, toTimm } from "../../models/checkpoints/names.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams, type State } from "../../models/params.ts";
import { parseSafetensors } from "../../models/checkpoints/safetensors.ts";
import { writeTorchFile } from "../../models/checkpoints/torch-writer.ts";
import { readWeights, writeWeights } from "../../models/checkpoints/weights.ts";
import { fillInput } from "../golden/fill.ts";
import { ascii, digest, file, golden, type Digest } from "./checkpoint-files.ts";

describe("files of PyTorch", () => {
  test("a training checkpoint: the model, or its moving average", () => {
    const bytes = file("checkpoint-training.pth");
    expect(digest(readWeights(bytes).state)).toEqual(golden.distilled);
    expect(digest(readAnyWeights(bytes, { ema: true }).state)).toEqual(golden.ema);
  });
  test("a bare state dict", () => {
    const { state, info } = readWeights(file("checkpoint-plain.pth"));
    expect(digest(state)).toEqual(golden.plain);
    expect([...state.keys()]).toEqual(Object.keys(golden.plain));
    expect(info).toBeNull();
  });
  test("transposed, inner, shared, permuted, half, double, scalar and empty tensors", () => {
    expect(digest(readAnyWeights(file("checkpoint-views.pth")).state)).toEqual(golden.views);
  });
  test("are read wherever they lie in memory", () => {
    const bytes = file("checkpoint-views.pth");
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(digest(readAnyWeights(shifted.subarray(1)).state)).toEqual(golden.views);
  });
});

describe("Hugging Face's names", () => {
  test.each(["checkpoint-hf4.safetensors", "checkpoint-hf5.safetensors"])("%s becomes timm's", (name) => {
    const { state } = readWeights(file(name));
    expect(digest(state)).toEqual(golden.distilled);
    expect([...state.keys()]).toEqual(Object.keys(golden.distilled));
  });
  test("a plain model, and its way back", () => {
    const { state } = readWeights(file("checkpoint-vit.bin"));
    expect(digest(state)).toEqual(golden.plain);
    expect(digest(toHuggingFace(state).state)).toEqual(golden.vit);
  });
  test("a pooler is left out and named, anything else refused", () => {
    const { state } = readAnyWeights(file("checkpoint-vit.bin"));
    const one = { shape: [1], data: new Float32Array(1) };
    expect(toTimm(new Map([...state, ["vit.pooler.dense.weight", one]])).ignored).toEqual(["vit.pooler.dense.weight"]);
    expect(() => toTimm(new Map([...state, ["vit.embeddings.mask", one]]))).toThrow('got "vit.embeddings.mask"');
    expect(() => toTimm(new Map([...state, ["vit.cls_classifier.weight", one]]))).toThrow();
    expect(() => toTimm(new Map([...state, ["cls_classifier.weight", one]]))).toThrow(
      'expected classifier of a model without embeddings.distillation_token, got "cls_classifier.weight"',
    );
    expect(() => toTimm(new Map([...state, ["deit.embeddings.distillation_token", one], ["cls_classifier.weight", one]]))).toThrow(
      'expected classifier of a model with embeddings.distillation_token, got "cls_classifier.weight"',
    );
    const halved = new Map(state);
    halved.delete("vit.encoder.layer.1.attention.attention.key.bias");
    expect(() => toTimm(halved)).toThrow("expected query, key and value of blocks.1.attn, got q bias but not k");
    expect(() => toTimm(new Map([...state, ["layernorm.weight", one]]))).toThrow('got "layernorm.weight" besides another');
    expect(() => toHuggingFace(new Map([["blocks.0.attn.scale", one]]))).toThrow(
      'expected timm\'s names of a plain DeiT, got "blocks.0.attn.scale"',
    );
    expect(() =>
      toHuggingFace(
        new Map([
          ["stem.conv.weight", one],
          ["s1.b0.conv1.conv.weight", one],
        ]),
      ),
    ).toThrow('expected timm\'s names of a RegNetY, got "s1.b0.conv1.conv.weight"');
  });
});

describe("convert", () => {
  const convert = (bytes: Uint8Array, to: Naming, container: Container) =>
    convertedFile(convertWeights(readAnyWeights(bytes), { to }), container);
  test("timm, Hugging Face and back, through either container: the same bits", () => {
    for (const container of ["safetensors", "torch"] as const) {
      for (const [name, expected] of [
        ["checkpoint-training.pth", golden.distilled],
        ["checkpoint-plain.pth", golden.plain],
      ] as const) {
        const hf = convert(file(name), "hf", container);
        const timm = convert(hf, "timm", container);
        expect(digest(readAnyWeights(timm).state)).toEqual(expected);
        expect(convert(convert(timm, "hf", container), "timm", container)).toEqual(timm);
        if (name === "checkpoint-training.pth") expect(digest(readAnyWeights(hf).state)).toEqual(golden.hf4);
      }
    }
  });
  test("the same file as the Python library writes", () => {
    expect(convert(file("checkpoint-training.pth"), "hf", "safetensors")).toEqual(file("checkpoint-hf4.safetensors"));
  });
  test("what a file of ours says about itself survives", () => {
    const { state } = readWeights(file("checkpoint-plain.pth"));
    const config = {
      arch: "deit",
      imgSize: 8,
      patchSize: 4,
      inChans: 3,
      dim: 8,
      depth: 2,
      heads: 2,
      mlpRatio: 4,
      numClasses: 5,
      distilled: false,
    } as const;
    const info = { config, classes: ["a", "b", "c", "d", "é"] };
    const ours = writeWeights(state, info);
    expect(readWeights(convert(ours, "timm", "torch")).info).toEqual(info);
    expect(convert(convert(ours, "timm", "torch"), "timm", "safetensors")).toEqual(ours);
    expect(readWeights(convert(ours, "hf", "safetensors")).info).toEqual(info);
  });
  test("refuses another layout than asked for, and shapes that no DeiT has", () => {
    expect(() => convertWeights(readAnyWeights(file("checkpoint-vit.bin")), { to: "timm", from: "timm" })).toThrow(
      "expected timm names, got hf names",
    );
    const state = new Map(readWeights(file("checkpoint-plain.pth")).state);
    state.set("blocks.1.mlp.fc1.bias", { shape: [31], data: new Float32Array(31) });
    expect(() => convert(writeTorchFile(state), "hf", "torch")).toThrow("blocks.1.mlp.fc1.bias");
    state.delete("blocks.1.mlp.fc1.bias");
    expect(() => convert(writeTorchFile(state), "hf", "torch")).toThrow("blocks.1.mlp.fc1.bias");
  });
});

describe("timm's own checkpoints and older ones", () => {
  const timm = JSON.parse(new TextDecoder().decode(file("checkpoint-timm.json"))) as {
    saver: Record<"state_dict" | "state_dict_ema", Digest>;
    old: Digest;
    cycles: Record<string, object>;
    forward: Record<string, Record<string, number>>;
  };
  test("a .pth.tar of timm's training: the model, or its moving average", () => {
    const bytes = file("checkpoint-timm.pth.tar");
    expect(digest(readAnyWeights(bytes).state)).toEqual(timm.saver.state_dict);
    expect(digest(readAnyWeights(bytes, { ema: true }).state)).toEqual(timm.saver.state_dict_ema);
    expect(timm.saver.state_dict).not.toEqual(timm.saver.state_dict_ema);
  });
  test("PyTorch's format before 1.6", () => {
    const bytes = file("checkpoint-old.pth");
    expect(digest(readAnyWeights(bytes).state)).toEqual(timm.old);
    for (let n = 20; n < bytes.length; n++)
      expect(() => readAnyWeights(bytes.subarray(0, n)), `${n} bytes`).toThrow(/^(pickle|torch file|safetensors|weights): expected /);
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(() => readAnyWeights(longer)).toThrow("where its last storage ends");
    const tar = new Uint8Array(1024);
    tar.set(ascii("ustar"), 257);
    expect(() => readAnyWeights(tar)).toThrow("got a tar archive (unpack it first)");
    tar.set(ascii("sys_info"));
    expect(() => readAnyWeights(tar)).toThrow("got a tar archive of an older one");
  });
  test("names behind module. and _orig_mod.", () => expect(digest(readAnyWeights(file("checkpoint-wrapped.pth")).state)).toEqual(timm.old));
  test("the round trip that was recorded kept every bit", () => {
    expect(Object.keys(timm.cycles)).toContain("deit_tiny_distilled_patch16_224");
    expect(Object.keys(timm.cycles)).toContain("regnety_002");
    for (const forward of Object.values(timm.forward)) expect(forward["largest difference"]).toBe(0);
  });
});

describe("RegNetY, and other classes of Hugging Face", () => {
  const fake = (names: readonly string[]): State => new Map(names.map((name, i) => [name, { shape: [1], data: Float32Array.of(i) }]));
  const model = createModel("regnety_004");
  const state = initialState(model.params, 1);
  test("RegNetY both ways, every name", () => {
    const { state: hf } = toHuggingFace(state);
    for (const name of [
      "regnet.embedder.embedder.convolution.weight",
      "regnet.embedder.embedder.normalization.running_mean",
      "regnet.encoder.stages.0.layers.0.shortcut.convolution.weight",
      "regnet.encoder.stages.3.layers.5.layer.1.normalization.running_var",
      "regnet.encoder.stages.1.layers.2.layer.2.attention.0.bias",
      "regnet.encoder.stages.1.layers.2.layer.2.attention.2.weight",
      "regnet.encoder.stages.1.layers.2.layer.3.normalization.weight",
      "classifier.1.bias",
    ])
      expect([...hf.keys()]).toContain(name);
    expect(hf.get("regnet.encoder.stages.1.layers.2.layer.2.attention.2.weight")).toBe(state.get("s2.b3.se.fc2.weight"));
    expect(hf.get("regnet.encoder.stages.3.layers.5.layer.3.convolution.weight")).toBe(state.get("s4.b6.conv3.conv.weight"));
    expect(toTimm(hf).state).toEqual(state);
    expect(() => toTimm(new Map([...hf, ...fake(["regnet.encoder.stages.4.layers.0.layer.0.convolution.weight"])]))).toThrow(
      "expected Hugging Face's names of a RegNetY",
    );
  });
  test("a RegNetForImageClassification of transformers loads strictly, and answers as it does there", async () => {
    const bytes = file("checkpoint-regnet-hf.safetensors");
    const { logits } = JSON.parse(parseSafetensors(bytes).metadata["recorded"]!) as { logits: number[] };
    const small = createModel({ arch: "regnety", imgSize: 32, w0: 8, wa: 6, wm: 2, groupWidth: 8, depth: 5, stemWidth: 8, numClasses: 7 });
    const got = await noGrad(
      () =>
        small.forward(
          loadParams("weights", small.params, readWeights(bytes).state),
          Tensor.from(fillInput(2 * 3 * 32 * 32), [2, 3, 32, 32]),
        ).logits,
    ).floats();
    expect(got.length).toBe(logits.length);
    logits.forEach((v, i) => expect(Math.abs(got[i]! - v)).toBeLessThan(1e-4 * (1 + Math.abs(v))));
    expect([...toHuggingFace(readWeights(bytes).state).state.keys()].sort()).toEqual(
      [...parseSafetensors(bytes).tensors.keys()].filter((n) => !n.endsWith("num_batches_tracked")).sort(),
    );
  });
  test("a distillation token with one head: DeiTForImageClassification", () => {
    const names = Object.keys(golden.distilled).filter((n) => !n.startsWith("head_dist"));
    const { state: two } = readWeights(file("checkpoint-training.pth"));
    const one = new Map([...two].filter(([name]) => names.includes(name)));
    const hf = toHuggingFace(one).state;
    expect([...hf.keys()].filter((n) => n.includes("classifier"))).toEqual(["classifier.weight", "classifier.bias"]);
    expect(digest(toTimm(hf).state)).toEqual(digest(one));
    const raw = { container: "safetensors" as const, ignored: [], metadata: {}, state: hf };
    expect(convertWeights(raw, { to: "timm" }).state.size).toBe(one.size);
  });
});
