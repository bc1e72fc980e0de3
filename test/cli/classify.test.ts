/** `classify`, and `--resize-pos-embed`: against the preprocessing, forward and maps that are held to references elsewhere. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { IMAGENET_LABELS } from "../../tasks/imagenet.ts";
import { decodeImage } from "../../cli/node/decode-image.ts";
import { nodeHost } from "../../cli/node/host.ts";
import type { Host } from "../../jobs/host.ts";
import classifyJob, { type ClassifyResult } from "../../jobs/classify.ts";
import { noGrad } from "../../engine/autograd.ts";
import { DeviceLostError } from "../../engine/errors.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { attentionProbabilities, headMaps, rollout } from "../../models/attention-maps.ts";
import { createModel } from "../../models/model.ts";
import { overlay } from "../../models/images/overlay.ts";
import { loadParams } from "../../models/params.ts";
import { toPlanes } from "../../models/images/preprocess.ts";
import { preprocess, preprocessing, PROTOCOLS, type Protocol } from "../../models/images/protocols.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { Evaluator } from "../../train/evaluate.ts";
import { prepareImage } from "../../train/input/prepare.ts";
import { config, SIZE, tessera, weightsOf } from "./small-deit.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-classify-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

const distilled = createModel(config());
const state = weightsOf(distilled);
const names = IMAGENET_LABELS;
const IMAGES = ["alpha.png", "exif-6.jpg", "lossy.webp", "rgb.jpg", "subsampled.jpg"];

beforeAll(() => {
  mkdirSync(at("images"));
  for (const name of IMAGES) copyFileSync(`test/golden/images/${name}`, at(`images/${name}`));
  writeFileSync(at("images/notes.txt"), "no image");
  mkdirSync(at("none"));
  writeFileSync(at("bare.safetensors"), writeSafetensors([...state].map(([name, t]) => [name, { dtype: "F32", ...t }])));
  writeFileSync(at("named.safetensors"), writeWeights(state, { config: config() }));
  const plain = createModel(config({ distilled: false, numClasses: 5 }));
  writeFileSync(
    at("plain.safetensors"),
    writeWeights(weightsOf(plain), {
      config: config({ distilled: false, numClasses: 5 }),
      classes: ["ant", "bee", "cat", "dog", "elk"],
      mean: [0.4, 0.4, 0.4],
      std: [0.2, 0.2, 0.2],
    }),
  );
});

async function input(file: string, protocol: Protocol, name = distilled.name) {
  const steps = preprocessing(protocol, name, SIZE);
  return { image: preprocess(await decodeImage(readFileSync(at(`images/${file}`)), { upright: true }), steps), steps };
}

/** Both heads' logits of one image, normalised here in f64. */
async function logitsOf(
  file: string,
  protocol: Protocol,
  model = distilled,
  weights = state,
  given?: { mean: readonly number[]; std: readonly number[] },
): Promise<Float32Array[]> {
  const { image, steps } = await input(file, protocol);
  const { mean, std } = given ?? steps;
  const x = Float32Array.from(toPlanes(image), (v, i) => (v / 255 - mean[Math.floor(i / SIZE ** 2)]!) / std[Math.floor(i / SIZE ** 2)]!);
  const params = loadParams("weights", model.params, weights);
  const { logitsCls, logitsDist } = noGrad(() => model.forward(params, Tensor.from(x, [1, 3, SIZE, SIZE])));
  return (await readAll(logitsDist ? [logitsCls, logitsDist] : [logitsCls])) as Float32Array[];
}

function softmax(logits: ArrayLike<number>): number[] {
  const max = Math.max(...Array.from(logits));
  const e = Array.from(logits, (v) => Math.exp(v - max));
  const sum = e.reduce((a, v) => a + v, 0);
  return e.map((v) => v / sum);
}

const ANSWERS: Record<string, (cls: Float32Array, dist: Float32Array) => number[]> = {
  mean: (cls, dist) => softmax(cls.map((v, i) => (v + dist[i]!) / 2)),
  "softmax-sum": (cls, dist) => softmax(dist).map((p, i) => (p + softmax(cls)[i]!) / 2),
  cls: (cls) => softmax(cls),
  dist: (_, dist) => softmax(dist),
};

/** The result's order and probabilities are those of `expected`, largest first. */
function same(top: ClassifyResult["results"][number]["top"], expected: readonly number[], labels: readonly string[]): void {
  const order = expected
    .map((p, i) => [p, i] as const)
    .sort(([p], [q]) => q - p)
    .slice(0, top.length);
  top.forEach(({ index, label, probability }, i) => {
    expect(label).toBe(labels[index]);
    expect(Math.abs(probability - order[i]![0])).toBeLessThan(1e-4 * order[i]![0] + 1e-7);
    expect(Math.abs(expected[index]! - order[i]![0])).toBeLessThan(1e-4 * order[i]![0]);
  });
}

describe("classify", { timeout: 60_000 }, () => {
  test.each([...PROTOCOLS.map((p) => [p, "mean"] as const), ["official", "softmax-sum"], ["official", "cls"], ["timm", "dist"]] as [
    Protocol,
    string,
  ][])("a folder in batches, protocol %s, head %s: the right classes with their probabilities", async (protocol, head) => {
    const { code, stdout } = await tessera(
      "classify",
      at("images"),
      "--weights",
      at("named.safetensors"),
      "--protocol",
      protocol,
      "--head",
      head,
      "--topk",
      "4",
      "--batch-size",
      "2",
      "--json",
      at("result.json"),
    );
    expect(code).toBe(0);
    const { results } = JSON.parse(readFileSync(at("result.json"), "utf8")) as ClassifyResult;
    expect(results.map((r) => r.name)).toEqual(IMAGES.map((name) => at(`images/${name}`)));
    for (const [i, file] of IMAGES.entries()) {
      const [cls, dist] = await logitsOf(file, protocol);
      expect(results[i]!.top.length).toBe(4);
      same(results[i]!.top, ANSWERS[head]!(cls!, dist!), names);
    }
    const { label, probability } = results[0]!.top[0]!;
    expect(stdout.split("\n").slice(0, 2)).toEqual([at("images/alpha.png"), `  ${(100 * probability).toFixed(2).padStart(6)} %  ${label}`]);
    expect(stdout.trimEnd().split("\n").length).toBe(5 * IMAGES.length);
  });

  test.each([
    ["a lost device", new DeviceLostError("device lost: reset"), DeviceLostError],
    ["no memory left", new RangeError("Array buffer allocation failed"), RangeError],
  ])("%s while an image is decoded is no bad image: the command fails of it", async (_, error, kind) => {
    const host: Host = { ...nodeHost(), images: { ...nodeHost().images, decode: () => Promise.reject(error) } };
    const images = [{ path: at("images/rgb.jpg"), stem: "rgb" }];
    const args = { weights: at("named.safetensors"), images, k: 1, protocol: "official", head: "mean", batchSize: 1 } as const;
    await expect(classifyJob(host, args)).rejects.toBeInstanceOf(kind);
    await expect(prepareImage({ at: images[0]!, image: 0, copy: 0, epoch: 0 }, { kind: "decode" }, host.images)).rejects.toBeInstanceOf(
      kind,
    );
  });

  test("kernels are compiled beforehand, with progress, and timed apart; in evaluation too", async () => {
    // Sizes that no other test here has compiled kernels for.
    const [fresh, other] = [24, 40].map((dim) => createModel(config({ dim, numClasses: 10 }))) as [typeof distilled, typeof distilled];
    let seen: [number, number][] = [];
    const files: Record<string, Uint8Array> = {
      w: writeWeights(weightsOf(fresh), { config: fresh.config }),
      "a.jpg": readFileSync(at("images/rgb.jpg")),
    };
    const host: Host = {
      ...nodeHost(),
      progress: ({ label, done, total }) => void (label === "compiling kernels" && seen.push([done, total])),
      readFile: async (path) => Uint8Array.from(files[path]!),
      images: { ...nodeHost().images, read: async ({ path }) => Uint8Array.from(files[path]!) },
    };
    const whole = () => {
      const total = seen.length;
      expect(total).toBeGreaterThan(3);
      expect(seen).toEqual(Array.from({ length: total }, (_, i) => [i + 1, total]));
      seen = [];
    };
    const { warmUpMs } = await classifyJob(host, {
      weights: "w",
      images: [{ path: "a.jpg", stem: "a" }],
      k: 1,
      protocol: "official",
      head: "mean",
      batchSize: 1,
    });
    whole();
    expect(warmUpMs).toBeGreaterThan(0);
    const evaluator = await Evaluator.create(
      other,
      loadParams("weights", other.params, weightsOf(other)),
      { mean: [0, 0, 0], std: [1, 1, 1] },
      2,
      (done, total) => void seen.push([done, total]),
    );
    whole();
    evaluator.dispose();
    expect((await tessera("eval", "--weights", "app/data/teacher/regnety-cifar10.safetensors", "--json", at("eval.json"))).stderr).toMatch(
      /warm-up \d+ ms, not counted above\n/,
    );
    expect(JSON.parse(readFileSync(at("eval.json"), "utf8")).warmUpMs).toBeGreaterThan(0);
  });

  test("all 1000 names of ImageNet, whose probabilities add up to 1", async () => {
    await tessera("classify", at("images/rgb.jpg"), "--weights", at("named.safetensors"), "--topk", "2000", "--json", at("all.json"));
    const [{ top }] = (JSON.parse(readFileSync(at("all.json"), "utf8")) as ClassifyResult).results as [ClassifyResult["results"][number]];
    expect(top.length).toBe(1000);
    expect(new Set(top.map((t) => t.index)).size).toBe(1000);
    expect(top.reduce((sum, t) => sum + t.probability, 0)).toBeCloseTo(1, 10);
    expect(names.length).toBe(1000);
    // Known numbers of ImageNet's classes.
    expect([names[0], names[207], names[281], names[504], names[999]].map((n) => n!.split(",")[0])).toEqual([
      "tench",
      "golden retriever",
      "tabby",
      "coffee mug",
      "toilet tissue",
    ]);
  });

  test("weights' own class names and normalisation; a plain model", async () => {
    const { code } = await tessera("classify", at("images/rgb.jpg"), "--weights", at("plain.safetensors"), "--json", at("plain.json"));
    expect(code).toBe(0);
    const { results } = JSON.parse(readFileSync(at("plain.json"), "utf8")) as ClassifyResult;
    const model = createModel(config({ distilled: false, numClasses: 5 }));
    const [cls] = await logitsOf("rgb.jpg", "official", model, weightsOf(model), { mean: [0.4, 0.4, 0.4], std: [0.2, 0.2, 0.2] });
    same(results[0]!.top, softmax(cls!), ["ant", "bee", "cat", "dog", "elk"]);
  });

  test("maps of both tokens as PNG: the rollout, and each head of the last block", async () => {
    const { code } = await tessera(
      "classify",
      at("images/rgb.jpg"),
      at("images/lossy.webp"),
      "--weights",
      at("named.safetensors"),
      "--maps",
      at("maps"),
    );
    expect(code).toBe(0);
    const kinds = ["cls", "dist"].flatMap((token) => ["head0", "head1", "rollout"].map((what) => `${token}-${what}.png`));
    expect(readdirSync(at("maps")).sort()).toEqual(["lossy", "rgb"].flatMap((stem) => kinds.map((kind) => `${stem}.${kind}`)));
    const { image, steps } = await input("lossy.webp", "official");
    const x = Float32Array.from(
      toPlanes(image),
      (v, i) => (v / 255 - steps.mean[Math.floor(i / SIZE ** 2)]!) / steps.std[Math.floor(i / SIZE ** 2)]!,
    );
    const attention = await attentionProbabilities(
      distilled,
      loadParams("weights", distilled.params, state),
      Tensor.from(x, [1, 3, SIZE, SIZE]),
    );
    const seen = new Set<string>();
    for (const [token, name] of ["cls", "dist"].entries()) {
      for (const [what, map] of [
        ["rollout", rollout(attention, 0, token)],
        ["head1", headMaps(attention, 0, 1, token)[1]!],
      ] as const) {
        const got = await decodeImage(readFileSync(at(`maps/lossy.${name}-${what}.png`)), { upright: false });
        const expected = overlay(image, map, 3);
        expect([got.height, got.width]).toEqual([SIZE, SIZE]);
        expect(got.data.reduce((most, v, i) => Math.max(most, Math.abs(v - expected.data[i]!)), 0)).toBeLessThanOrEqual(1);
        seen.add(Buffer.from(got.data).toString("base64"));
      }
    }
    expect(seen.size).toBe(4);
  });

  test("a file that is no image is named, and so is one that is not there, on one line with exit 2", async () => {
    const refused = async (pattern: RegExp, ...args: string[]) => {
      const { code, stderr } = await tessera("classify", ...args);
      expect(stderr.trimEnd().split("\n").at(-1)).toMatch(pattern);
      expect(code).toBe(2);
    };
    copyFileSync("test/golden/images/truncated.jpg", at("broken.jpg"));
    const weights = ["--weights", at("named.safetensors")];
    await refused(
      /^tessera classify: expected an answer for every image, got none for ".*broken\.jpg": expected a whole JPEG image, got one that is damaged/,
      at("broken.jpg"),
      ...weights,
    );
    await refused(/got none for ".*notes\.txt": expected a JPEG, PNG, .* image, got bytes 6e 6f/, at("images/notes.txt"), ...weights);
    await refused(/expected an image or a folder at ".*absent\.jpg", got none/, at("absent.jpg"), ...weights);
    await refused(/expected images \(\.jpg, .*\) in ".*none", got none/, at("none"), ...weights);
    await refused(/expected a file that can be read at ".*absent\.pth", got ENOENT/, at("images"), "--weights", at("absent.pth"));
    // The wrong model, none, or a head and maps that it does not have.
    await refused(
      /expected the 152 tensors of this model, got missing: .*unexpected: .*misshapen: /,
      at("images"),
      "--weights",
      at("bare.safetensors"),
      "--model",
      "deit_tiny_patch16_224",
    );
    await refused(
      /expected a model for .*bare\.safetensors \(the file does not name its own\), got none/,
      at("images"),
      "--weights",
      at("bare.safetensors"),
    );
    await refused(/expected a distilled model for --head dist/, at("images"), "--weights", at("plain.safetensors"), "--head", "dist");
    await refused(
      /expected a vision transformer for --maps, got custom regnety/,
      at("images"),
      "--weights",
      "app/data/teacher/regnety-cifar10.safetensors",
      "--maps",
      at("more"),
    );
    expect(existsSync(at("more"))).toBe(false);
  });
});
