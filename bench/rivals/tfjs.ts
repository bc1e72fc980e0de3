/**
 * TensorFlow.js on any of its backends, written as someone would who knows it well: linear weights stored [in, out], bias fused into
 * the product, images in its own channel order for convolutions, each step in a tidy, nothing read back but the result.
 * What it has no kernel for (layer norm, exact GELU, attention) is composed from as few of its operations as possible.
 *
 * It has no AdamW: weights shrink by 1 - lr * decay after the gradients are known, then its Adam runs with PyTorch's eps.
 */
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-core/dist/register_all_gradients";
import type { Input, Inputs, KernelWork, TrainWork, Work } from "../benchmark.ts";
import type { Contender, Prepared } from "../contender.ts";

type Config = TrainWork["config"];
type Tensors = Readonly<Record<string, tf.Tensor>>;

/** `idle` resolves when the backend has done all that was asked of it; it gets one result of the latest run. */
export async function contender(
  name: string,
  backend: string,
  idle: (latest: tf.Tensor) => Promise<void>,
  flags: Readonly<Record<string, unknown>>,
): Promise<Contender> {
  // The library has one engine in a process, whoever imports it: each turn begins with its own backend.
  const turn = async (): Promise<void> => {
    if (!(await tf.setBackend(backend))) throw new Error(`tfjs: expected its ${backend} backend to start, got a refusal`);
  };
  await turn();
  return {
    name,
    version: tf.version_core,
    flags: { backend, ...flags },
    async prepare({ work, backward }, inputs) {
      await turn();
      const before = tf.memory() as Memory;
      const made =
        "sizes" in work
          ? kernel(work, backward, inputs)
          : work.op === "train"
            ? training(work, inputs)
            : work.op === "forward"
              ? inference(work, inputs)
              : update(work, inputs);
      return prepared(made, turn, idle, before);
    },
  };
}

/** What `tf.memory()` has besides on a GPU. */
type Memory = tf.MemoryInfo & { readonly numBytesAllocatedInGPU?: number };

/** A case as the library sees it. */
interface Made {
  readonly compute: () => tf.Tensor[];
  /** Each result's way back to PyTorch's layout. */
  readonly from: readonly TfjsLayout["from"][];
  readonly dispose: () => void;
}

const upload = ({ data, shape }: Input): tf.Tensor => tf.tensor(data, [...shape]);

// Layouts: what a tensor has there, and back to PyTorch's.
const swap = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [1, 0]); // [O,I] <-> [I,O]
const channelsLast = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [0, 2, 3, 1]);
const channelsFirst = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [0, 3, 1, 2]);
const filterLast = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [2, 3, 1, 0]); // [O,C,kh,kw] -> [kh,kw,C,O]
const filterFirst = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [3, 2, 0, 1]);
const patchWeight = (t: tf.Tensor): tf.Tensor => swap(tf.reshape(t, [t.shape[0]!, -1])); // [D,C,p,p] -> [C*p*p,D]
const same = (t: tf.Tensor): tf.Tensor => tf.clone(t);

interface TfjsLayout {
  readonly to: (t: tf.Tensor) => tf.Tensor;
  readonly from: (t: tf.Tensor) => tf.Tensor;
}

const plain: TfjsLayout = { to: same, from: same };

function layoutOf(op: KernelWork["op"], input: string): TfjsLayout {
  if (op === "batchNorm" && (input === "x" || input === "y")) return { to: channelsLast, from: channelsFirst };
  if (op === "patchEmbed" && input === "weight") return { to: patchWeight, from: swap }; // to [D,C*p*p], the same memory
  if (op === "linear" && input === "weight") return { to: swap, from: swap };
  if (op === "conv2d") return input === "weight" ? { to: filterLast, from: filterFirst } : { to: channelsLast, from: channelsFirst };
  return plain;
}

const linear = (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor => tf.fused.matMul({ a: x, b: weight, bias });

/** x: (..., I), weight: (I, O). The library's product is fastest on plain matrices. */
function dense(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor {
  const y = linear(tf.reshape(x, [-1, x.shape.at(-1)!]), weight, bias);
  return tf.reshape(y, [...x.shape.slice(0, -1), weight.shape[1]!]);
}

function layerNorm(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-6))), weight), bias);
}

const gelu = (x: tf.Tensor): tf.Tensor => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));

/** q, k, v: (..., N, D). Scaling q costs less than scaling the scores. */
const attention = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor =>
  tf.matMul(tf.softmax(tf.matMul(tf.mul(q, q.shape.at(-1)! ** -0.5), k, false, true)), v);

/** x: (B, C, S, S) to (B, S/P * S/P, C * P * P). */
function patchify(x: tf.Tensor, P: number): tf.Tensor {
  const [B, C, S] = x.shape as [number, number, number],
    G = S / P;
  return tf.reshape(tf.transpose(tf.reshape(x, [B, C, G, P, G, P]), [0, 2, 4, 1, 3, 5]), [B, G * G, C * P * P]);
}

const crossEntropy = (probabilities: tf.Tensor, logits: tf.Tensor): tf.Tensor =>
  tf.neg(tf.mean(tf.sum(tf.mul(probabilities, tf.logSoftmax(logits)), -1)));

function compute(work: KernelWork, t: Tensors): tf.Tensor {
  switch (work.op) {
    case "matmul":
      return tf.matMul(t["a"]!, t["b"]!);
    case "linear":
      return linear(t["x"]!, t["weight"]!, t["bias"]!);
    case "softmax":
      return tf.softmax(t["x"]!);
    case "gelu":
      return gelu(t["x"]!);
    case "layerNorm":
      return layerNorm(t["x"]!, t["weight"]!, t["bias"]!);
    case "attention":
      return attention(t["q"]!, t["k"]!, t["v"]!);
    case "conv2d":
      return tf.conv2d(t["x"] as tf.Tensor4D, t["weight"] as tf.Tensor4D, work.attrs["stride"] as number, work.attrs["padding"] as number);
    case "patchEmbed":
      return dense(patchify(t["x"]!, work.n["p"]!), t["weight"]!, t["bias"]!);
    case "batchNorm": {
      const { mean, variance } = tf.moments(t["x"]!, [0, 1, 2]);
      return tf.batchNorm(
        t["x"]!,
        mean as tf.Tensor1D,
        variance as tf.Tensor1D,
        t["bias"] as tf.Tensor1D,
        t["weight"] as tf.Tensor1D,
        1e-5,
      );
    }
    case "crossEntropy":
      return crossEntropy(t["target"]!, t["logits"]!);
    default:
      throw new Error(`not written here: ${work.op}`);
  }
}

function kernel(work: KernelWork, backward: boolean, inputs: Inputs): Made {
  if (work.op === "conv2d" && (work.attrs["groups"] as number) > 1) throw new Error("tf.conv2d has no groups");
  const names = [...inputs.keys()];
  const load = (name: string) => tf.tidy(() => layoutOf(work.op, name === "dy" ? "y" : name).to(upload(inputs.get(name)!)));
  const tensors = Object.fromEntries(names.map((name) => [name, load(name)]));
  const wanted = names.filter((name) => name !== "dy" && name !== "target");
  const f = (...values: tf.Tensor[]) => compute(work, { ...tensors, ...Object.fromEntries(wanted.map((name, i) => [name, values[i]!])) });
  const arguments_ = wanted.map((name) => tensors[name]!);
  const withGradients = tf.valueAndGrads(f);
  return {
    compute() {
      if (!backward) return [f(...arguments_)];
      const { value, grads } = withGradients(arguments_, tensors["dy"]!);
      return [value, ...grads];
    },
    from: ["y", ...wanted].map((name) => layoutOf(work.op, name).from),
    dispose: () => tf.dispose(tensors),
  };
}

/** Linear weights as [in, out], that of the patches as [channels * rows * columns, out]. */
function parameters(inputs: Inputs): Record<string, tf.Tensor> {
  const known = new Set(["x", "target", "teacherLogits"]);
  return Object.fromEntries(
    [...inputs]
      .filter(([name]) => !known.has(name))
      .map(([name, input]) => [
        name,
        tf.tidy(() => {
          const t = upload(input);
          if (name === "patch_embed.proj.weight") return patchWeight(t);
          return t.rank === 2 ? swap(t) : tf.clone(t);
        }),
      ]),
  );
}

/** x: (B, C, S, S). Logits of both heads, (B, K) each; of a plain model only the first. */
function forward(w: Tensors, x: tf.Tensor, c: Config): [tf.Tensor, tf.Tensor | null] {
  const B = x.shape[0]!,
    D = c.dim,
    H = c.heads,
    P = c.patchSize,
    G = c.imgSize / P,
    prefix = c.distilled ? 2 : 1,
    N = G * G + prefix;
  const layer = (name: string, t: tf.Tensor) => dense(t, w[`${name}.weight`]!, w[`${name}.bias`]!);
  const norm = (name: string, t: tf.Tensor) => layerNorm(t, w[`${name}.weight`]!, w[`${name}.bias`]!);

  const token = (name: string) => tf.tile(w[name]!, [B, 1, 1]);
  let t = tf.add(
    tf.concat([token("cls_token"), ...(c.distilled ? [token("dist_token")] : []), layer("patch_embed.proj", patchify(x, P))], 1),
    w["pos_embed"]!,
  );
  for (let i = 0; i < c.depth; i++) {
    const b = `blocks.${i}`;
    const qkv = tf.transpose(tf.reshape(layer(`${b}.attn.qkv`, norm(`${b}.norm1`, t)), [B, N, 3, H, D / H]), [2, 0, 3, 1, 4]);
    const [q, k, v] = tf.unstack(qkv, 0) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const heads = tf.reshape(tf.transpose(attention(q, k, v), [0, 2, 1, 3]), [B, N, D]);
    t = tf.add(t, layer(`${b}.attn.proj`, heads));
    t = tf.add(t, layer(`${b}.mlp.fc2`, gelu(layer(`${b}.mlp.fc1`, norm(`${b}.norm2`, t)))));
  }
  // The norm is per token, so only the tokens that are read need it.
  const read = norm("norm", tf.slice(t, [0, 0, 0], [B, prefix, D]));
  const head = (name: string, at: number) => layer(name, tf.reshape(tf.slice(read, [0, at, 0], [B, 1, D]), [B, D]));
  return [head("head", 0), c.distilled ? head("head_dist", 1) : null];
}

function inference({ config }: Extract<Work, { op: "forward" }>, inputs: Inputs): Made {
  if (config.arch !== "deit") throw new Error("tf.conv2d has no groups");
  const params = parameters(inputs);
  const x = upload(inputs.get("x")!);
  return {
    compute() {
      const [cls, dist] = forward(params, x, config);
      return [dist ? tf.mul(tf.add(cls, dist), 0.5) : cls];
    },
    from: [same],
    dispose: () => tf.dispose([x, ...Object.values(params)]),
  };
}

function training({ config, recipe, decayed }: TrainWork, inputs: Inputs): Made {
  const variables = Object.fromEntries(
    Object.entries(parameters(inputs)).map(([name, t]) => {
      const variable = tf.variable(t);
      t.dispose();
      return [name, variable];
    }),
  );
  const x = upload(inputs.get("x")!),
    target = upload(inputs.get("target")!);
  const teacherLogits = recipe.distillation === "none" ? null : upload(inputs.get("teacherLogits")!);
  const optimizer = tf.train.adam(recipe.lr, recipe.beta1, recipe.beta2, recipe.eps);
  const shrink = tf.scalar(1 - recipe.lr * recipe.weightDecay);
  const all = Object.values(variables);

  const loss = (): tf.Scalar => {
    const [cls, dist] = forward(variables, x, config);
    if (!teacherLogits) return crossEntropy(target, cls) as tf.Scalar;
    const teacher = tf.oneHot(tf.argMax(teacherLogits, -1), config.numClasses, 1, 0, "float32");
    return tf.add(tf.mul(crossEntropy(target, cls), 1 - recipe.alpha), tf.mul(crossEntropy(teacher, dist!), recipe.alpha));
  };
  return {
    compute() {
      const { value, grads } = tf.variableGrads(loss, all);
      for (const name of decayed) variables[name]!.assign(tf.mul(variables[name]!, shrink));
      optimizer.applyGradients(Object.entries(grads).map(([name, tensor]) => ({ name, tensor })));
      return [value];
    },
    from: [same],
    dispose() {
      tf.dispose([x, target, shrink, ...all, ...(teacherLogits ? [teacherLogits] : [])]);
      optimizer.dispose();
    },
  };
}

/** One update of a flat buffer. */
function update({ recipe }: Extract<Work, { op: "adamw" }>, inputs: Inputs): Made {
  const start = upload(inputs.get("params")!);
  const params = tf.variable(start);
  start.dispose();
  const grads = upload(inputs.get("grads")!);
  const optimizer = tf.train.adam(recipe.lr, recipe.beta1, recipe.beta2, recipe.eps);
  const shrink = tf.scalar(1 - recipe.lr * recipe.weightDecay);
  return {
    compute() {
      params.assign(tf.mul(params, shrink));
      optimizer.applyGradients([{ name: params.name, tensor: grads }]);
      return [tf.clone(params)];
    },
    from: [same],
    dispose() {
      tf.dispose([params, grads, shrink]);
      optimizer.dispose();
    },
  };
}

function prepared(
  { compute, from, dispose }: Made,
  turn: () => Promise<void>,
  idle: (latest: tf.Tensor) => Promise<void>,
  before: Memory,
): Prepared {
  let latest: tf.Tensor[] = [];
  const taken = (m: Memory) => m.numBytesAllocatedInGPU ?? m.numBytes;
  return {
    async run(times) {
      await turn();
      for (let i = 0; i < times; i++) {
        tf.dispose(latest);
        latest = tf.tidy(compute);
      }
      await idle(latest[0]!);
    },
    async result() {
      await turn();
      const converted = tf.tidy(() => latest.map((t, i) => from[i]!(t)));
      await idle(converted[0]!); // reading waits in the library's own way
      const values = await Promise.all(converted.map(async (t) => Float32Array.from(await t.data())));
      tf.dispose(converted);
      return values;
    },
    // What its pool grew by: less than the case needs if an earlier one left buffers that fit.
    bytes: () => taken(tf.memory() as Memory) - taken(before),
    dispose() {
      tf.dispose(latest);
      latest = [];
      dispose();
    },
  };
}
