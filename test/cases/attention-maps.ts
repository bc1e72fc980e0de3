/** What a model looks at, against timm's modules in f64: test/golden/attention.json. */
import { Tensor } from "../../engine/tensor.ts";
import { attentionMaps, attentionProbabilities, headMaps, rollout } from "../../models/attention-maps.ts";
import { createModel } from "../../models/model.ts";
import { overlay } from "../../models/images/overlay.ts";
import { loadParams, type Params } from "../../models/params.ts";
import { close, refuses, type Case } from "../../checks/check.ts";
import { fillInput, fillState } from "../golden/fill.ts";
import golden from "../golden/attention.json" with { type: "json" };
import rotary from "../golden/rotary-small.json" with { type: "json" };
import { distance } from "../golden/probe.ts";

function load(config: Readonly<Record<string, unknown>>, images = 2) {
  const model = createModel({ arch: "deit", ...config });
  const values = fillState(model.params.map((p) => [p.name, p.shape]));
  const params: Params = loadParams(
    "golden",
    model.params,
    new Map(model.params.map((p) => [p.name, { shape: p.shape, data: values.get(p.name)! }])),
  );
  return { model, params, x: Tensor.from(fillInput(images * model.imageShape.reduce((a, b) => a * b)), [images, ...model.imageShape]) };
}

const near = (what: string, got: Float32Array, expected: readonly number[]): void => {
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} values, got ${got.length}`);
  expected.forEach((v, i) => close(`${what}[${i}]`, got[i]!, v, 2e-5 * v + 1e-7));
};

export const cases: Case[] = [
  ...golden.models.map(
    ({ distilled, heads, rollout: rolled }): Case => ({
      name: `attention maps: ${distilled ? "class and distillation token" : "class token"}, per head and rolled out, as timm`,
      async run() {
        const { model, params, x } = load({ ...golden.config, distilled });
        const attention = await attentionProbabilities(model, params, x);
        const means = await attentionMaps(model, params, x);
        for (let image = 0; image < 2; image++) {
          for (const [token, expected] of rolled[image]!.entries()) {
            near(`rollout of token ${token}`, rollout(attention, image, token), expected);
            const maps = headMaps(attention, image, golden.config.depth - 1, token);
            maps.forEach((map, h) => near(`head ${h} of token ${token}`, map, heads[image]![h]![token]!));
            const mean = expected.map((_, i) => heads[image]!.reduce((sum, h) => sum + h[token]![i]! / 3, 0));
            near(`mean of token ${token}`, (token === 0 ? means.cls : means.dist!)[image]!, mean);
          }
        }
        if (!distilled && means.dist !== null) throw new Error("expected no map of a distillation token");
      },
    }),
  ),
  ...rotary.models.map(({ name, config, attention: expected }) => ({
    name: `attention maps: ${name}, of queries and keys that have been turned, as timm`,
    long: true,
    async run() {
      const { model, params, x } = load(config, 3);
      const { blocks } = await attentionProbabilities(model, params, x, [config.depth - 1]);
      close("share of what timm has", distance(blocks[0]!, expected), 0, 1e-4);
    },
  })),
  {
    name: "attention maps: refuses a convolutional model, and blocks that are not there",
    async run() {
      const { model, params, x } = load({ ...golden.config, distilled: false });
      await refuses(() => attentionMaps(createModel("regnety_002"), params, x), /expected a vision transformer, got regnety_002/);
      await refuses(() => attentionProbabilities(model, params, x, [3]), /expected blocks from 0 to 2, got 3/);
    },
  },
  {
    name: "overlay: full light where the map is largest, dim where it is 0, and a map of another size is refused",
    async run() {
      const image = { height: 8, width: 8, data: new Uint8Array(192).fill(200) };
      const { data } = overlay(image, Float32Array.of(0, 0, 0, 3), 2);
      if (data[191] !== 200 || data[0] !== 30) throw new Error(`expected 30 and 200 at the corners, got ${data[0]} and ${data[191]}`);
      if (overlay(image, new Float32Array(4), 2).data.some((v) => v !== 30))
        throw new Error("expected an empty map to leave the image dim");
      await refuses(() => overlay(image, new Float32Array(3), 2), /overlay: expected 4 values for 2x2, got 3/);
    },
  },
];
