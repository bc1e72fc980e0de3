/** Checkpoints as others write them: wrappers, prefixes, bookkeeping beside the weights, no head, and files that hold no weights. */
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { convertedFile, convertWeights } from "../../jobs/convert/weights.ts";
import { type ReadOptions, readAnyWeights } from "../../models/checkpoints/formats.ts";
import { toHuggingFace } from "../../models/checkpoints/names.ts";
import { writeSafetensors, type SafeTensor } from "../../models/checkpoints/safetensors.ts";
import { stateDict } from "../../models/checkpoints/state-dict.ts";
import { Closed, type Pickled, Storage, StridedTensor } from "../../models/checkpoints/pickle-values.ts";
import { writeTorchFile } from "../../models/checkpoints/torch-writer.ts";
import { writeZip } from "../../models/checkpoints/zip-writer.ts";
import { createModel } from "../../models/model.ts";
import { initialState, type State } from "../../models/params.ts";

const vit = createModel({ arch: "deit", imgSize: 8, patchSize: 4, dim: 8, depth: 1, heads: 2, numClasses: 3 });
const state = initialState(vit.params, 1);
const regnet = initialState(
  createModel({ arch: "regnety", depth: 4, w0: 8, wa: 8, wm: 2, groupWidth: 8, stemWidth: 8, numClasses: 3 }).params,
  1,
);

const prefixed = (prefix: string, of: State = state): State => new Map([...of].map(([name, values]) => [prefix + name, values]));
const headless = (of: State): State => new Map([...of].filter(([name]) => !name.startsWith("head") && !name.startsWith("classifier")));
const vector = (n: number) => ({ shape: [n], data: new Float32Array(n) });
const values = (of: State) =>
  [...of].map(([name, { shape, data }]) => [name, shape, [...data]] as const).toSorted(([a], [b]) => (a < b ? -1 : 1));
const safe = (of: State, more: [string, SafeTensor][] = []) =>
  writeSafetensors([...[...of].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }] as const), ...more]);
const read = (bytes: Uint8Array, options?: ReadOptions) => convertWeights(readAnyWeights(bytes, options), { to: "timm" });

describe("prefixes", () => {
  const wrappers = [
    "model.",
    "net.",
    "backbone.",
    "module.",
    "_orig_mod.",
    "module.backbone.",
    "_orig_mod.module.model.",
    "teacher.",
    "ema_model.module.",
    "encoder.",
  ];
  test.each(wrappers)("%s before every name", (prefix) => {
    for (const of of [state, regnet, headless(state)]) {
      const { state: found, ignored } = read(writeTorchFile(prefixed(prefix, of)));
      expect(values(found)).toEqual(values(of));
      expect(ignored).toEqual([]);
    }
    expect(values(read(safe(prefixed(prefix, toHuggingFace(state).state))).state)).toEqual(values(state));
  });
  test("what a wrapper has beside the model is left out by name; a classifier beside it is the model's", () => {
    const beside = new Map([
      ...prefixed("backbone.", headless(state)),
      ["decode_head.conv.weight", vector(2)],
      ["projector.0.bias", vector(2)],
    ]);
    expect(read(safe(beside))).toMatchObject({ ignored: ["decode_head.conv.weight", "projector.0.bias"] });
    const probe = new Map([
      ...prefixed("module.backbone.", headless(state)),
      ...["weight", "bias"].map((k) => [`module.head.${k}`, state.get(`head.${k}`)!] as const),
    ]);
    expect(values(read(safe(probe)).state)).toEqual(values(state));
  });
  test("several models in one dict are named, and taken by --key", () => {
    const bytes = safe(new Map([...prefixed("student."), ...prefixed("teacher.", headless(state))]));
    expect(() => read(bytes)).toThrow(
      'weights: expected one model (convert --key takes one of several), got names behind "student", "teacher"',
    );
    expect(values(read(bytes, { key: "student" }).state)).toEqual(values(state));
    expect(values(read(bytes, { key: "teacher" }).state)).toEqual(values(headless(state)));
  });
  test("names that are no model's are refused, not called timm's", () => {
    for (const other of [
      new Map([
        ["conv.weight", vector(2)],
        ["blabla", vector(3)],
      ]),
      new Map([...state].map(([name, v]) => [name.replace("patch_embed", "embedding"), v] as const)),
      new Map([...regnet, ["blabla", vector(3)]]),
      new Map([...prefixed("s1.", state)].slice(3)),
    ])
      expect(() => read(safe(other))).toThrow(
        /^weights: expected the (names of a DeiT, ViT, RegNetY, ResNet or ConvNeXt|\d+ tensors of this model), got /,
      );
  });
});

describe("integers that count, and averages", () => {
  const count: SafeTensor = { dtype: "I64", shape: [], data: BigInt64Array.of(3n) };
  const ids: SafeTensor = { dtype: "I64", shape: [1, 2], data: BigInt64Array.of(0n, 1n) };
  test("are no parameters", () => {
    for (const more of [
      ["n_averaged", count],
      ["num_batches_tracked", count],
      ["embeddings.position_ids", ids],
      ["stem.bn.num_batches_tracked", count],
    ] as [string, SafeTensor][]) {
      expect(values(read(safe(prefixed("module."), [more])).state)).toEqual(values(state));
      expect(values(read(safe(state, [more])).state)).toEqual(values(state));
    }
    expect(() => read(safe(state, [["blocks.0.codes", ids]]))).toThrow('expected floating point in "blocks.0.codes", got I64');
  });
});

describe("the dict of tensors in a checkpoint", () => {
  const tensor = new StridedTensor(new Storage("F32", "0", 1), 0, [1], [1]);
  const dict = (...entries: [Pickled, Pickled][]) => new Map<Pickled, Pickled>(entries);
  const weights = (name = "a") => dict([name, tensor]);
  const optimizer = dict(["state", dict([0, dict(["exp_avg", tensor])])], ["param_groups", []]);
  const found = (root: Pickled, options: ReadOptions = {}) => [...stateDict(root, options).keys()].join();
  test("under any key, bare, or one step further in", () => {
    for (const key of [
      "model",
      "state_dict",
      "model_state",
      "model_state_dict",
      "module",
      "net",
      "teacher",
      "state_dict_ema",
      "weights",
      "whatever",
    ])
      expect(found(dict(["epoch", 3], [key, weights()], ["optimizer", optimizer], ["args", new Closed("argparse.Namespace")]))).toBe("a");
    expect(found(dict(["a", tensor], ["epoch", 3]))).toBe("a,epoch");
    expect(found(dict(["checkpoint", dict(["net", weights()])], ["epoch", 3]))).toBe("a");
  });
  test("the usual of several, and the average where it is asked for", () => {
    const several = dict(["model_ema", weights("c")], ["model", weights("a")], ["criterion", weights("b")], ["loss", tensor]);
    expect([found(several), found(several, { ema: true }), found(several, { key: "criterion" })]).toEqual(["a", "c", "b"]);
    expect(found(dict(["net", weights("a")], ["ema_net", weights("b")]), { ema: true })).toBe("b");
    expect(found(dict(["net", weights("a")], ["swa", weights("b")]))).toBe("a");
  });
  test("or what there is, in one line", () => {
    const line = (root: Pickled, options?: ReadOptions) => () => found(root, options);
    expect(line(dict(["student", weights()], ["teacher", weights()]))).toThrow(
      'expected one dict of tensors (convert --key takes one of several), got "student", "teacher"',
    );
    expect(line(dict(["model", weights()], ["epoch", 1]), { ema: true })).toThrow('expected a moving average, got "model"');
    expect(line(dict(["model", weights()]), { key: "modell" })).toThrow('expected a dict of tensors at "modell", got "model"');
    expect(line(dict(["epoch", 1], ["lr", 2]))).toThrow('expected a dict of tensors, got "epoch", "lr"');
    expect(line(dict())).toThrow("got an empty dict");
    expect(line(new Closed("timm.models.vision_transformer.VisionTransformer"))).toThrow(
      'got an object of "timm.models.vision_transformer.VisionTransformer" (save its state_dict() instead)',
    );
    expect(line([tensor])).toThrow("got a list");
  });
});

describe("a model without a head", () => {
  const distilled = initialState(createModel({ ...vit.config, distilled: true }).params, 2);
  test.each([
    ["ViT", headless(state), "embeddings.cls_token"],
    ["distilled DeiT", headless(distilled), "embeddings.cls_token"],
    ["RegNetY", headless(regnet), "embedder.embedder.convolution.weight"],
  ])("%s: to Hugging Face's names and back, as numClasses 0 has them", (_, of, first) => {
    const hf = convertedFile(convertWeights(readAnyWeights(safe(of)), { to: "hf" }), "safetensors");
    expect([...readAnyWeights(hf).state.keys()]).toContain(first);
    expect(values(read(hf).state)).toEqual(values(of));
  });
  test("is the model of numClasses 0", () => {
    const names = (config: object) => createModel({ ...config, numClasses: 0 }).params.map((p) => p.name);
    expect(names(vit.config)).toEqual([...headless(state).keys()]);
    expect(names({ ...vit.config, distilled: true })).toEqual([...headless(distilled).keys()]);
  });
});

describe("files that hold no weights are named", () => {
  const text = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
  const tar = new Uint8Array(1024);
  tar.set(text("images/1.png"));
  tar.set(text("ustar"), 257);
  test.each<[string, Uint8Array]>([
    [
      'a Git LFS pointer, which stands for the file (run "git lfs pull")',
      text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"),
    ],
    ["an HTML or XML page", text("\n <!DOCTYPE html><html></html>")],
    ["an HTML or XML page", text("<html>")],
    ["an HTML or XML page", text('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>')],
    ["JSON", text('{"error": "Not found"}')],
    ["JSON", text("[1, 2]")],
    ["JSON", text('\xef\xbb\xbf{\n "a": 1}')],
    ["a gzip file (unpack it first)", gzipSync(writeTorchFile(state))],
    ["a tar archive (unpack it first)", tar],
    ["an HDF5 file", text("\x89HDF\r\n\x1a\n")],
    ["a GGUF file", text("GGUF\x03\0\0\0")],
    ["a NumPy array", text("\x93NUMPY\x01\0")],
    ["a PNG image", text("\x89PNG\r\n\x1a\n")],
    ["an ONNX file of another program", text("\x08\x08\x12\x07pytorch\x1a\x052.6.0")],
    ["an empty file", new Uint8Array(0)],
    ["a text file", text("Repository not found\n")],
    ["NumPy arrays (npz)", writeZip([["a.npy", text("x")]])],
    [
      "a TorchScript archive",
      writeZip([
        ["m/data.pkl", text("N.")],
        ["m/code/a.py", text("")],
        ["m/constants.pkl", text("N.")],
      ]),
    ],
    ["an archive with weights in it (unpack it first)", writeZip([["model.safetensors", safe(state)]])],
    ["a zip archive of other files", writeZip([["word/document.xml", text("<a/>")]])],
    ["a pickle of a dict (load it in Python", Uint8Array.of(0x80, 4, 0x7d, 0x2e)],
  ])("%s", (kind, bytes) => {
    expect(() => read(bytes)).toThrow(/^(weights|torch file): expected [^\n]*, got [^\n]*$/);
    expect(() => read(bytes)).toThrow(`got ${kind}`);
  });
  test("a header whose length begins as another kind does is safetensors still", () => {
    // Lengths of 0x280 (a pickle's first bytes), 0x7b ("{") and 0x3c ("<").
    for (const length of [0x280, 0x7b, 0x3c]) {
      const json = `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`.padEnd(length);
      const bytes = new Uint8Array(8 + length + 4);
      new DataView(bytes.buffer).setUint32(0, length, true);
      bytes.set(text(json), 8);
      expect([...readAnyWeights(bytes).state.keys()]).toEqual(["a"]);
    }
  });
});
