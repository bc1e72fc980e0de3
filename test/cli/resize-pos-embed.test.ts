/** Weights of another resolution: `--resize-pos-embed` in the verbs that run a model. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { parseSafetensors, writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { writeWeights } from "../../models/checkpoints/weights.ts";
import { createModel } from "../../models/model.ts";
import { resizedPosEmbed } from "../../models/pos-embed.ts";
import { config, tessera, weightsOf } from "./small-deit.ts";

const folder = mkdtempSync(join(tmpdir(), "tessera-resize-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

describe("--resize-pos-embed", { timeout: 60_000 }, () => {
  const larger = config({ imgSize: 64, numClasses: 10 }),
    smaller = config({ imgSize: 32, numClasses: 10 });
  const [large, small] = [createModel(larger), createModel(smaller)];
  const given = weightsOf(small);
  beforeAll(() => {
    writeFileSync(at("32.safetensors"), writeWeights(given, { config: smaller }));
    writeFileSync(at("64.safetensors"), writeWeights(resizedPosEmbed(given, large), { config: larger }));
    const x = Float32Array.from({ length: 3 * 64 * 64 }, (_, i) => Math.sin(i));
    writeFileSync(at("x.safetensors"), writeSafetensors([["x", { dtype: "F32", shape: [1, 3, 64, 64], data: x }]]));
  });
  const COMMANDS: Record<string, (weights: string, out: string) => string[]> = {
    forward: (weights, out) => [
      "forward",
      "--config",
      JSON.stringify(larger),
      "--weights",
      weights,
      "--in",
      at("x.safetensors"),
      "--out",
      out,
    ],
    eval: (weights, out) => ["eval", "--model", JSON.stringify(larger), "--weights", weights, "--json", out],
    classify: (weights, out) => [
      "classify",
      "test/golden/images/rgb.jpg",
      "--model",
      JSON.stringify(larger),
      "--weights",
      weights,
      "--json",
      out,
    ],
  };
  const RESULTS: Record<string, (file: string) => unknown> = {
    forward: (file) =>
      [...parseSafetensors(new Uint8Array(readFileSync(file))).tensors].map(([name, t]) => [name, [...(t.data as Float32Array)]]),
    eval: (file) => (({ count, model, cls, dist }) => ({ count, model, cls, dist }))(JSON.parse(readFileSync(file, "utf8"))),
    classify: (file) => JSON.parse(readFileSync(file, "utf8")).results,
  };
  test.each(Object.keys(COMMANDS))(
    "%s of weights of another resolution: on request as with weights that were made to fit, else refused",
    async (verb) => {
      const command = COMMANDS[verb]!,
        out = [at(`${verb}-a`), at(`${verb}-b`)] as const;
      const { code, stderr } = await tessera(...command(at("32.safetensors"), out[0]));
      expect(code).toBe(2);
      expect(stderr).toMatch(
        /misshapen: pos_embed is \[1,6,16\], expected \[1,18,16\] \(only the position embedding differs: --resize-pos-embed interpolates it\)/,
      );
      expect(existsSync(out[0])).toBe(false);
      expect(await tessera(...command(at("32.safetensors"), out[0]), "--resize-pos-embed")).toMatchObject({ code: 0 });
      expect(await tessera(...command(at("64.safetensors"), out[1]))).toMatchObject({ code: 0 });
      expect(RESULTS[verb]!(out[0])).toEqual(RESULTS[verb]!(out[1]));
    },
  );
});
