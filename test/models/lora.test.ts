/** LoRA's adapters: PEFT's own file and figures (golden/peft_adapter.py), what we write, and what is refused. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { scope } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { initialLora, makeLora, matricesOf, mergedLora, withLora } from "../../models/lora.ts";
import { readAdapter, writeAdapter } from "../../models/checkpoints/peft.ts";
import { createModel, type Model } from "../../models/model.ts";
import { initialState, loadParams, type State } from "../../models/params.ts";
import golden from "../golden/peft.json" with { type: "json" };
import { fillInput, fillState } from "../golden/fill.ts";

const model = createModel({ arch: "deit", imgSize: 32, patchSize: 16, dim: 24, depth: 2, heads: 2, mlpRatio: 2, numClasses: 6 });
const values = fillState(model.params.map(({ name, shape }) => [name, shape]));
const state: State = new Map(model.params.map(({ name, shape }) => [name, { shape, data: values.get(name)! }]));
const file = (name: string) => readFileSync(new URL(`../golden/peft/${name}`, import.meta.url));
const [weights, config] = [file("adapter_model.safetensors"), file("adapter_config.json")];

async function logitsOf({ name, params, forward }: Model, values: State): Promise<Float32Array> {
  const p = loadParams(name, params, values);
  const x = Tensor.from(fillInput(2 * 3 * 32 * 32), [2, 3, 32, 32]);
  const y = scope(() => forward(p, x).logits);
  const logits = await y.floats();
  for (const t of [...Object.values(p), x, y]) t.dispose();
  return logits;
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => Math.max(...Array.from(a, (v, i) => Math.abs(v - b[i]!)));

test("PEFT's adapter gives PEFT's logits, merged and applied", async () => {
  const { lora, learned } = readAdapter(state, weights, config);
  expect([lora.rank, lora.alpha, lora.adapted.length]).toEqual([3, 5, 4]);
  const merged = await logitsOf(model, mergedLora(lora, state, learned));
  expect(distance(merged, golden.logits.flat())).toBeLessThan(2e-5);
  expect(distance(await logitsOf(model, state), merged)).toBeGreaterThan(0.1); // without the adapter

  const base = loadParams(model.name, model.params, state);
  const applied = await logitsOf(withLora(model, base, makeLora(model, { rank: 3, alpha: 5, targets: ["qkv", "fc1"] })), learned);
  for (const t of Object.values(base)) t.dispose();
  expect(distance(applied, merged)).toBeLessThan(5e-6);
});

test("what is written is read again with its bits, under PEFT's names", () => {
  const { learned } = readAdapter(state, weights, config);
  const lora = makeLora(model, { rank: 3, alpha: 5, targets: ["qkv", "fc1"] });
  const written = writeAdapter(model, lora, learned);
  expect(JSON.parse(new TextDecoder().decode(written.config))).toMatchObject({
    target_modules: ["attn.qkv", "mlp.fc1"],
    modules_to_save: ["head"],
  });
  const again = readAdapter(state, written.weights, written.config);
  expect(again.learned).toEqual(
    new Map([...learned].sort(([a], [b]) => [...again.learned.keys()].indexOf(a) - [...again.learned.keys()].indexOf(b))),
  );
  const names = [...readAdapter(state, weights, config).learned.keys()].sort();
  expect([...again.learned.keys()].sort()).toEqual(names);
});

test("query, key and value apart, and gates and values: their layers are adapted in the same places", () => {
  const eva = createModel({
    arch: "deit",
    imgSize: 8,
    patchSize: 4,
    dim: 8,
    depth: 1,
    heads: 1,
    rope: "eva02",
    qkvFused: false,
    swiglu: "split",
  });
  const lora = makeLora(eva, { targets: ["qkv", "fc1"] });
  const layers = ["attn.q_proj", "attn.k_proj", "attn.v_proj", "mlp.fc1_g", "mlp.fc1_x"];
  expect(lora.adapted.map(({ name }) => name)).toEqual(layers.map((layer) => `blocks.0.${layer}.weight`));
  const { config } = writeAdapter(eva, lora, initialLora(lora, initialState(eva.params, 1), 1));
  expect(JSON.parse(new TextDecoder().decode(config))).toMatchObject({ target_modules: layers });
});

test.each([
  ["another method", { peft_type: "IA3" }, /expected peft_type "LORA" in adapter_config.json, got "IA3"/],
  ["another rank than the tensors'", { r: 4 }, /lora_A.weight "? ?\[4,24\], got \[3,24\]/],
  ["ranks of layers", { rank_pattern: { qkv: 2 } }, /expected no rank_pattern/],
  ["trained biases", { bias: "all" }, /expected bias "none"/],
  ["DoRA", { use_dora: true }, /expected use_dora off in adapter_config.json, got true/],
])("refused: %s", (_, change, message) => {
  const changed = { ...(JSON.parse(config.toString()) as object), ...change };
  expect(() => readAdapter(state, weights, new TextEncoder().encode(JSON.stringify(changed)))).toThrow(message);
});

test("refused: an adapter of another model; rank-stabilised factors are alpha / sqrt(rank)", () => {
  const other = new Map([...state].filter(([name]) => !name.startsWith("blocks.1.")));
  expect(() => readAdapter(other, weights, config)).toThrow(/adapter: expected matrices of the weights' linear layers .*blocks\.1\./);
  const deep = new TextEncoder().encode(`{"peft_type":"LORA","r":${"[".repeat(5000)}${"]".repeat(5000)}}`);
  expect(() => readAdapter(state, weights, deep)).toThrow("adapter: expected a rank r of at least 1 in adapter_config.json, got [a list]");
  const stabilised = new TextEncoder().encode(JSON.stringify({ ...(JSON.parse(config.toString()) as object), use_rslora: true }));
  const { rank, alpha } = readAdapter(state, weights, stabilised).lora;
  expect(alpha / rank).toBeCloseTo(5 / Math.sqrt(3), 12);
  expect(matricesOf("a.weight").a).toBe("a.weight.lora_A");
});
