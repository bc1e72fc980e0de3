/** Checkpoints of PyTorch and Hugging Face, against files that PyTorch 2.13 wrote (test/golden/checkpoints.py), and damaged ones. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { convertedFile, convertWeights } from "../../jobs/convert/weights.ts";
import { noGrad } from "../../engine/autograd.ts";
import { Random } from "../../engine/random.ts";
import { Tensor } from "../../engine/tensor.ts";
import { checkState } from "../../models/check-state.ts";
import { type Container, readAnyWeights } from "../../models/checkpoints/formats.ts";
import { type Naming, toHuggingFace, toTimm } from "../../models/checkpoints/names.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams, type State } from "../../models/params.ts";
import { parseSafetensors } from "../../models/checkpoints/safetensors.ts";
import { readWeightFiles, writeSharded } from "../../models/checkpoints/sharded.ts";
import { writeTorchFile } from "../../models/checkpoints/torch-writer.ts";
import { readWeights, replaceHead, writeWeights } from "../../models/checkpoints/weights.ts";
import { readZip } from "../../models/checkpoints/zip.ts";
import { writeZip } from "../../models/checkpoints/zip-writer.ts";
import { fillInput } from "../golden/fill.ts";

type Digest = Record<string, { shape: number[]; sha256: string }>;
const file = (name: string) => new Uint8Array(readFileSync(new URL(`../golden/${name}`, import.meta.url)));
const golden = JSON.parse(new TextDecoder().decode(file("checkpoints.json"))) as Record<
  "plain" | "distilled" | "ema" | "views" | "vit" | "hf4",
  Digest
>;
const ascii = (text: string) => new TextEncoder().encode(text);

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);
const digest = (state: State): Digest =>
  Object.fromEntries(
    [...state].map(([name, { shape, data }]) => [
      name,
      { shape: [...shape], sha256: createHash("sha256").update(bytesOf(data)).digest("hex") },
    ]),
  );

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
    expect(() => toTimm(new Map([...state, ["vit.embeddings.mask_token", one]]))).toThrow('got "vit.embeddings.mask_token"');
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

describe("strict loading", () => {
  const small = (numClasses: number) =>
    createModel({ arch: "deit", imgSize: 8, patchSize: 4, dim: 8, depth: 2, heads: 2, numClasses, distilled: true });
  const { params } = small(5);
  const state = initialState(params, 3);
  const error = (s: State, of = params) => {
    try {
      checkState("weights", of, s);
    } catch (e) {
      return (e as Error).message;
    }
    return "";
  };
  test("all that is wrong in one error, with shapes", () => {
    const wrong = new Map(state);
    wrong.delete("blocks.0.attn.qkv.bias");
    wrong.set("blocks.9.extra", { shape: [2, 3], data: new Float32Array(6) });
    wrong.set("norm.weight", { shape: [9], data: new Float32Array(9) });
    expect(error(wrong)).toBe(
      `weights: expected the ${params.length} tensors of this model, got missing: blocks.0.attn.qkv.bias [24]; unexpected: blocks.9.extra [2,3]; misshapen: norm.weight is [9], expected [8]`,
    );
    expect(error(state)).toBe("");
  });
  test("NaN and infinities by name; convert keeps them and says so", () => {
    const broken = new Map([
      ...state,
      ["norm.bias", { shape: [8], data: Float32Array.of(0, 0, NaN, 0, 0, 0, 0, 0) }],
      ["head.bias", { shape: [5], data: new Float32Array(5).fill(-Infinity) }],
    ]);
    expect(error(broken)).toContain("got not finite: norm.bias, head.bias");
    const done = convertWeights({ container: "safetensors", ignored: [], metadata: {}, state: broken }, { to: "hf" });
    expect(done.notFinite.toSorted()).toEqual(["head.bias", "norm.bias"]);
    expect(toTimm(done.state).state.get("norm.bias")!.data[2]).toBeNaN();
  });
  test("the head of other classes anew, on request only", () => {
    const other = small(7).params;
    expect(error(state, other)).toMatch(/misshapen: head\.weight is \[5,8\], expected \[7,8\].*--replace-head begins it anew/);
    const { state: replaced, replaced: names } = replaceHead(other, state, 11);
    expect(names).toEqual(["head.weight", "head.bias", "head_dist.weight", "head_dist.bias"]);
    expect(error(replaced, other)).toBe("");
    expect(replaced.get("head.weight")).toEqual(initialState(other, 11).get("head.weight"));
    expect(replaced.get("norm.weight")).toBe(state.get("norm.weight"));
    // As many other classes are other classes.
    const same = replaceHead(params, state, 11);
    expect(same.replaced).toEqual(names);
    expect(same.state.get("head_dist.weight")).toEqual(initialState(params, 11).get("head_dist.weight"));
    expect(same.state.get("head.weight")!.data).not.toEqual(state.get("head.weight")!.data);
    const larger = createModel({
      arch: "deit",
      imgSize: 12,
      patchSize: 4,
      dim: 8,
      depth: 2,
      heads: 2,
      numClasses: 5,
      distilled: true,
    }).params;
    expect(error(state, larger)).toMatch(
      /misshapen: pos_embed is \[1,6,8\], expected \[1,11,8\] \(only the position embedding differs: --resize-pos-embed interpolates it\)$/,
    );
    expect(error(replaceHead(other, state, 1).state, larger)).toMatch(/--replace-head --resize-pos-embed/);
    // Anything but the head stays strict.
    const plain = new Map([...state].filter(([name]) => name !== "dist_token"));
    expect(error(replaceHead(other, plain, 1).state, other)).toMatch(/got missing: dist_token \[1,1,8\]$/);
    expect(error(plain)).not.toContain("--replace-head");
  });
});

describe("sharded", () => {
  const { state } = readWeights(file("checkpoint-training.pth"));
  const entries = [...state].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }] as const);
  const { shards, index } = writeSharded("model", entries, 3000, { format: "pt" });
  const load = (change: (files: Map<string, Uint8Array>) => void = () => {}) => {
    const files = new Map([["model.safetensors.index.json", index], ...shards]);
    change(files);
    return readWeightFiles(
      "a/model.safetensors.index.json",
      async (path) => files.get(path.replace("a/", "")) ?? Promise.reject(new Error(`no ${path}`)),
    );
  };
  const indexed = (change: (map: Record<string, unknown>) => void) =>
    load((files) => {
      const json = JSON.parse(new TextDecoder().decode(index)) as { weight_map: Record<string, unknown> };
      change(json.weight_map);
      files.set("model.safetensors.index.json", ascii(JSON.stringify(json)));
    });
  test("as one", async () => {
    expect(shards.size).toBeGreaterThan(2);
    for (const bytes of shards.values()) expect(bytes.length).toBeLessThan(6000);
    expect(digest((await load()).state)).toEqual(golden.distilled);
  });
  test("what does not fit the index is refused", async () => {
    const [first, second] = [...shards.keys()] as [string, string];
    await expect(load((files) => files.delete(second))).rejects.toThrow(`no a/${second}`);
    await expect(load((files) => files.set(first, files.get(second)!))).rejects.toThrow(
      /^weights: expected "cls_token".* in model-00001-of-.* as the index says, got none$/,
    );
    await expect(load((files) => files.set(first, files.get(first)!.subarray(0, 900)))).rejects.toThrow(`(in ${first})`);
    await expect(
      indexed((map) => {
        delete map["cls_token"];
      }),
    ).rejects.toThrow("expected only what the index says");
    for (const name of ["../secret.safetensors", "/etc/passwd", "http://x/y.safetensors", "b/c.safetensors", ".hidden.bin", 7]) {
      await expect(
        indexed((map) => {
          map["cls_token"] = name;
        }),
      ).rejects.toThrow('expected a file\'s name for "cls_token"');
    }
    await expect(load((files) => files.set("model.safetensors.index.json", ascii("{}")))).rejects.toThrow('"weight_map"');
    await expect(
      load((files) => files.set("model.safetensors.index.json", ascii('{"weight_map":{"a":"x.bin","a":"y.bin"}}'))),
    ).rejects.toThrow('got "a" twice');
  });
});

test("files that are neither, or too old", () => {
  expect(() => readAnyWeights(Uint8Array.of(1, 2, 3))).toThrow("safetensors: expected a file of at least 8 bytes, got 3");
  expect(() => readAnyWeights(Uint8Array.of(0x80, 2, 0x8a, 2, 0x6c, 1, 0x2e))).toThrow(
    "expected PyTorch's number at the file's start, got a pickle of 364 (",
  );
});

test("random damage ends in a value or an Error, and soon", () => {
  const random = new Random(7);
  const below = (n: number) => Math.min(n - 1, Math.floor(random.uniform(0, n)));
  const damage = (bytes: Uint8Array) => {
    const copy = bytes.slice();
    for (let i = below(4) + 1; i > 0; i--) copy[below(copy.length)] = below(256);
    return below(4) === 0 ? copy.subarray(0, below(copy.length)) : copy;
  };
  const tries = (name: string, read: () => unknown) => {
    try {
      read();
    } catch (error) {
      expect(error, name).toBeInstanceOf(Error);
      expect((error as Error).message).toMatch(/^(zip|pickle|torch file|weights|safetensors): expected [^\n]*, got /);
    }
  };
  for (const name of ["checkpoint-training.pth", "checkpoint-views.pth", "checkpoint-hf4.safetensors"]) {
    const bytes = file(name);
    for (let i = 0; i < 300; i++) tries(name, () => readWeights(damage(bytes)));
    if (!name.endsWith(".pth")) continue;
    // Checksums catch nearly all of that, so the pickle again with checksums that hold.
    const files = [...readZip(bytes)];
    for (let i = 0; i < 700; i++)
      tries(name, () => readWeights(writeZip(files.map(([n, data]) => [n, n.endsWith("data.pkl") ? damage(data) : data] as const))));
  }
});

test("our safetensors stay as they were", () => {
  const state: State = new Map([["w", { shape: [2], data: Float32Array.of(-0, 1e-45) }]]);
  const config = {
    arch: "deit",
    imgSize: 8,
    patchSize: 4,
    inChans: 3,
    dim: 8,
    depth: 1,
    heads: 2,
    mlpRatio: 4,
    numClasses: 5,
    distilled: false,
  } as const;
  const bytes = writeWeights(state, { config });
  expect(readWeights(bytes)).toEqual({ state, info: { config } });
  expect(parseSafetensors(bytes).metadata["format"]).toBe("pt");
});
