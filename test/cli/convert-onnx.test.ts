/** `convert --to onnx`: the shipped teacher as one file and as transformers.js' folder, read again by `convert`; what is refused. And f16. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { main } from "../../cli/main.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { readWeights } from "../../models/checkpoints/weights.ts";
import { createModel } from "../../models/model.ts";
import { initialState } from "../../models/params.ts";
import { axesOf, parseOnnx } from "../models/onnx-file.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-convert-onnx-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

const TEACHER = "app/data/teacher/regnety-cifar10.safetensors";
const at = (name: string) => join(folder, name);
const json = (path: string) => JSON.parse(readFileSync(at(path), "utf8")) as Record<string, unknown>;
const convert = (...args: string[]) => main(["convert", ...args]);

test("a file: labels and preprocessing inside; converted back, every bit is there", async () => {
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  expect(await convert("--in", TEACHER, "--to", "onnx", "--out", at("teacher.onnx"), "--json", at("result.json"))).toBe(0);
  const bytes = readFileSync(at("teacher.onnx"));
  const file = parseOnnx(bytes);
  expect([...file.graph.input, ...file.graph.output].map(axesOf)).toEqual([
    ["pixel_values", 1, "batch", 3, 32, 32],
    ["logits", 1, "batch", 10],
  ]);
  const { state, info } = readWeights(readFileSync(TEACHER));
  const inside = JSON.parse(file.metadata[0]!.value) as Record<string, unknown>;
  const placing = { size: 32, resize: 32, square: false, filter: "bicubic" };
  expect(inside).toEqual({ config: info!.config, classes: info!.classes, mean: info!.mean, std: info!.std, placing });
  expect(json("result.json")).toMatchObject({ to: "onnx", dtype: "f32", bytes: bytes.length });
  expect(await convert("--in", at("teacher.onnx"), "--to", "timm", "--out", at("again.safetensors"))).toBe(0);
  const again = readWeights(readFileSync(at("again.safetensors"))).state;
  for (const [name, { data }] of state)
    expect(
      Buffer.from(again.get(name)!.data.buffer, again.get(name)!.data.byteOffset, 4 * data.length).equals(
        Buffer.from(data.buffer, data.byteOffset, 4 * data.length),
      ),
      name,
    ).toBe(true);
});

test("a folder: the file by its type's name, labels in config.json, what is done to pictures in preprocessor_config.json", async () => {
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  expect(await convert("--in", TEACHER, "--to", "onnx", "--dtype", "f16", "--out", at("models/teacher"))).toBe(0);
  expect(parseOnnx(readFileSync(at("models/teacher/onnx/model_fp16.onnx"))).graph.initializer.some(({ type }) => type === 10)).toBe(true);
  expect(json("models/teacher/config.json")).toMatchObject({
    model_type: "resnet",
    id2label: { 0: "airplane", 9: "truck" },
    label2id: { airplane: 0, truck: 9 },
    "transformers.js_config": { dtype: "fp16" },
  });
  expect(json("models/teacher/preprocessor_config.json")).toMatchObject({
    size: { shortest_edge: 32 },
    crop_size: { height: 32, width: 32 },
    resample: 3,
    image_mean: [0.49139968, 0.48215841, 0.44653091],
  });
});

test("a file that does not say its model takes --model; what does not fit is one line and exit code 2", async () => {
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  let stderr = "";
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
  const refused = async (...args: string[]): Promise<string> => {
    stderr = "";
    expect(await convert(...args)).toBe(2);
    return stderr.trim();
  };
  const config = { arch: "deit", imgSize: 8, patchSize: 4, dim: 8, depth: 1, heads: 2, numClasses: 3, distilled: false };
  const bare = [...initialState(createModel(config).params, 1)].map(([name, t]) => [name, { dtype: "F32" as const, ...t }] as const);
  writeFileSync(at("bare.safetensors"), writeSafetensors(bare));
  const onnx = ["--in", at("bare.safetensors"), "--to", "onnx"];
  expect(await refused(...onnx, "--out", at("bare.onnx"))).toMatch(
    /expected --model \(timm's name or a config\) for a file that does not say its own, got none/,
  );
  expect(await convert(...onnx, "--out", at("bare.onnx"), "--model", JSON.stringify(config))).toBe(0);
  expect(await refused(...onnx, "--out", at("bare.onnx"), "--model", "deit_tiny_patch16_224")).toMatch(
    /expected the 152 tensors of this model, got missing/,
  );
  expect(await refused(...onnx, "--out", at("bare.pth"))).toMatch(/expected --out to end in \.onnx, or a folder, got ".*bare\.pth"/);
  expect(await refused(...onnx, "--out", at("b.onnx"), "--model", JSON.stringify(config), "--head", "dist")).toMatch(
    /expected a distilled model for --head dist, got custom deit/,
  );
  expect(await refused("--in", TEACHER, "--to", "timm", "--dtype", "f16", "--out", at("t.pth"))).toMatch(
    /expected --dtype f16 with safetensors or onnx, got --out .*t\.pth/,
  );
});

test("safetensors with matrices in f16: half the bytes, values rounded, the model's record as it was", async () => {
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  expect(await convert("--in", TEACHER, "--to", "timm", "--dtype", "f16", "--out", at("half.safetensors"))).toBe(0);
  const [whole, half] = [readFileSync(TEACHER), readFileSync(at("half.safetensors"))];
  expect(half.length).toBeLessThan(0.6 * whole.length);
  const [given, read] = [readWeights(whole), readWeights(half)];
  expect(read.info).toEqual(given.info);
  expect([...read.state.keys()].sort()).toEqual([...given.state.keys()].sort());
  let rounded = 0;
  for (const [name, { shape, data }] of given.state) {
    const got = read.state.get(name)!.data;
    if (shape.length < 2) expect(got, name).toEqual(data);
    else
      data.forEach((v, i) => {
        if (got[i] !== v) rounded++;
        expect(Math.abs(got[i]! - v)).toBeLessThanOrEqual(Math.max(Math.abs(v) * 2 ** -11, 2 ** -25));
      });
  }
  expect(rounded).toBeGreaterThan(1000);
});
