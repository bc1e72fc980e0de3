/** Loading is strict: it refuses weights that do not fit the model, shards that do not fit their index, and damaged files. */
import { describe, expect, test } from "vitest";
import { convertWeights } from "../../jobs/convert/weights.ts";
import { Random } from "../../kernels/shared/random.ts";
import { checkState, type StateError } from "../../models/check-state.ts";
import { remedy } from "../../jobs/files/remedy.ts";
import { readAnyWeights } from "../../models/checkpoints/formats.ts";
import { toTimm } from "../../models/checkpoints/names.ts";
import { createModel } from "../../models/model.ts";
import { initialState, type State } from "../../models/params.ts";
import { parseSafetensors } from "../../models/checkpoints/safetensors.ts";
import { readWeightFiles, writeSharded } from "../../models/checkpoints/sharded.ts";
import { readWeights, replaceHead, writeWeights } from "../../models/checkpoints/weights.ts";
import { readZip } from "../../models/checkpoints/zip.ts";
import { writeZip } from "../../models/checkpoints/zip-writer.ts";
import { ascii, digest, file, golden } from "./checkpoint-files.ts";

describe("strict loading", () => {
  const small = (numClasses: number) =>
    createModel({ arch: "deit", imgSize: 8, patchSize: 4, dim: 8, depth: 2, heads: 2, numClasses, distilled: true });
  const { params } = small(5);
  const state = initialState(params, 3);
  const error = (s: State, of = params) => {
    try {
      checkState("weights", of, s);
    } catch (e) {
      return (e as Error).message + remedy(e as StateError);
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
