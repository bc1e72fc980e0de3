/**
 * TensorFlow.js on WebGPU, written as someone would who knows it well: linear weights stored [in, out], bias fused into
 * the product, images in its own channel order for convolutions, each step in a tidy, nothing read back but the result.
 * What it has no kernel for (layer norm, exact GELU, attention) is composed from as few of its operations as possible.
 *
 * It has no AdamW: weights shrink by 1 - lr * decay after the gradients are known, then its Adam runs with PyTorch's eps.
 * This file imports nothing of the engine: in Node it is bundled together with the library.
 */
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-core/dist/register_all_gradients";
import "@tensorflow/tfjs-backend-webgpu";
import type { Input, Inputs, Work } from "./cases.ts";
import type { Contender, Prepared, RivalOptions } from "./contender.ts";

type Model = Extract<Work, { readonly op: "forward" | "train" }>;
type Kernel = Exclude<Work, Model>;
type Config = Model["config"];
type Tensors = Readonly<Record<string, tf.Tensor>>;

/** What its backend has and does not export; the only way to wait for the GPU without reading a tensor. */
interface Backend {
  readonly device: GPUDevice;
  readonly queue: GPUQueue;
  readonly commandEncoder: GPUCommandEncoder | null;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

const FLAGS = [
  "WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE", "WEBGPU_CPU_FORWARD", "WEBGPU_CPU_HANDOFF_SIZE_THRESHOLD", "WEBGPU_MATMUL_PROGRAM_TYPE",
  "WEBGPU_THRESHOLD_TO_INCREASE_WORKGROUPS_FOR_MATMUL", "WEBGPU_CONV_SEPARATE_IM2COL_SHADER", "WEBGPU_USE_NAIVE_CONV2D_TRANSPOSE",
];

/** Starts the library on our adapter. */
export default async function tfjs({ wait, adapter }: RivalOptions): Promise<Contender> {
  if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs: expected its WebGPU backend to start, got a refusal");
  const backend = tf.backend() as unknown as Backend;
  const { vendor, architecture, device, description } = backend.device.adapterInfo;
  const name = (a: typeof adapter) => [a.vendor, a.architecture, a.device, a.description].join(" ");
  const own = name({ vendor, architecture, device, description });
  if (own !== name(adapter)) throw new Error(`tfjs: expected the adapter "${name(adapter)}", got "${own}"`);
  await backend.queue.onSubmittedWorkDone();

  const idle = async (): Promise<void> => {
    // What is still being encoded has to be closed before it is submitted, or it is dropped without a word.
    if (backend.commandEncoder) {
      backend.endComputePassEncoder();
      backend.submitQueue();
    }
    await wait(backend.queue.onSubmittedWorkDone());
  };
  return {
    name: "tfjs", version: tf.version_core,
    flags: { backend: tf.getBackend(), ...Object.fromEntries(FLAGS.map((flag) => [flag, tf.env().get(flag)])) },
    prepare: async ({ work, backward }, inputs) =>
      work.op === "train" ? training(work, inputs, idle) : work.op === "forward" ? inference(work, inputs, idle) : kernel(work, backward, inputs, idle),
  };
}

const upload = ({ data, shape }: Input): tf.Tensor => tf.tensor(data, [...shape]);

// Layouts: what a tensor has there, and back to PyTorch's.
const swap = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [1, 0]); // [O,I] <-> [I,O]
const channelsLast = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [0, 2, 3, 1]);
const channelsFirst = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [0, 3, 1, 2]);
const filterLast = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [2, 3, 1, 0]); // [O,C,kh,kw] -> [kh,kw,C,O]
const filterFirst = (t: tf.Tensor): tf.Tensor => tf.transpose(t, [3, 2, 0, 1]);
const same = (t: tf.Tensor): tf.Tensor => tf.clone(t);

interface Layout {
  readonly to: (t: tf.Tensor) => tf.Tensor;
  readonly from: (t: tf.Tensor) => tf.Tensor;
}

const plain: Layout = { to: same, from: same };

function layoutOf(op: Kernel["op"], input: string): Layout {
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

function compute(work: Kernel, t: Tensors): tf.Tensor {
  switch (work.op) {
    case "matmul": return tf.matMul(t["a"]!, t["b"]!);
    case "linear": return linear(t["x"]!, t["weight"]!, t["bias"]!);
    case "softmax": return tf.softmax(t["x"]!);
    case "gelu": return gelu(t["x"]!);
    case "layerNorm": return layerNorm(t["x"]!, t["weight"]!, t["bias"]!);
    case "attention": return attention(t["q"]!, t["k"]!, t["v"]!);
    case "conv2d": return tf.conv2d(t["x"] as tf.Tensor4D, t["weight"] as tf.Tensor4D, work.stride, work.padding);
  }
}

function kernel(work: Kernel, backward: boolean, inputs: Inputs, idle: () => Promise<void>): Prepared {
  const names = [...inputs.keys()];
  const tensors = names.map((name) => tf.tidy(() => layoutOf(work.op, name).to(upload(inputs.get(name)!))));
  const wanted = names.filter((name) => name !== "dy");
  const f = (...values: tf.Tensor[]) => compute(work, Object.fromEntries(wanted.map((name, i) => [name, values[i]!])));
  const arguments_ = tensors.slice(0, wanted.length);
  const withGradients = tf.valueAndGrads(f);
  const results = (): tf.Tensor[] => {
    if (!backward) return [f(...arguments_)];
    const { value, grads } = withGradients(arguments_, tensors.at(-1)!);
    return [value, ...grads];
  };
  return prepared(results, ["y", ...wanted].map((name) => layoutOf(work.op, name).from), tensors, idle);
}

/** Linear weights as [in, out], that of the patches as [channels * rows * columns, out]. */
function parameters(inputs: Inputs): Record<string, tf.Tensor> {
  const known = new Set(["x", "target", "teacherLogits"]);
  return Object.fromEntries([...inputs].filter(([name]) => !known.has(name)).map(([name, input]) => [name, tf.tidy(() => {
    const t = upload(input);
    if (name === "patch_embed.proj.weight") return swap(tf.reshape(t, [t.shape[0]!, -1]));
    return t.rank === 2 ? swap(t) : tf.clone(t);
  })]));
}

/** x: (B, C, S, S). Logits of both heads, (B, K) each. */
function forward(w: Tensors, x: tf.Tensor, c: Config): [tf.Tensor, tf.Tensor] {
  const B = x.shape[0]!, D = c.dim, H = c.heads, P = c.patchSize, G = c.imgSize / P, N = G * G + 2;
  const layer = (name: string, t: tf.Tensor) => dense(t, w[`${name}.weight`]!, w[`${name}.bias`]!);
  const norm = (name: string, t: tf.Tensor) => layerNorm(t, w[`${name}.weight`]!, w[`${name}.bias`]!);

  const patches = tf.reshape(tf.transpose(tf.reshape(x, [B, c.inChans, G, P, G, P]), [0, 2, 4, 1, 3, 5]), [B, G * G, c.inChans * P * P]);
  const token = (name: string) => tf.tile(w[name]!, [B, 1, 1]);
  let t = tf.add(tf.concat([token("cls_token"), token("dist_token"), layer("patch_embed.proj", patches)], 1), w["pos_embed"]!);
  for (let i = 0; i < c.depth; i++) {
    const b = `blocks.${i}`;
    const qkv = tf.transpose(tf.reshape(layer(`${b}.attn.qkv`, norm(`${b}.norm1`, t)), [B, N, 3, H, D / H]), [2, 0, 3, 1, 4]);
    const [q, k, v] = tf.unstack(qkv, 0) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const heads = tf.reshape(tf.transpose(attention(q, k, v), [0, 2, 1, 3]), [B, N, D]);
    t = tf.add(t, layer(`${b}.attn.proj`, heads));
    t = tf.add(t, layer(`${b}.mlp.fc2`, gelu(layer(`${b}.mlp.fc1`, norm(`${b}.norm2`, t)))));
  }
  // The norm is per token, so only the tokens that are read need it.
  const read = norm("norm", tf.slice(t, [0, 0, 0], [B, 2, D]));
  const [cls, dist] = tf.unstack(read, 1) as [tf.Tensor, tf.Tensor];
  return [layer("head", cls), layer("head_dist", dist)];
}

function inference({ config }: Model, inputs: Inputs, idle: () => Promise<void>): Prepared {
  const params = parameters(inputs);
  const x = upload(inputs.get("x")!);
  const logits = () => {
    const [cls, dist] = forward(params, x, config);
    return [tf.mul(tf.add(cls, dist), 0.5)];
  };
  return prepared(logits, [same], [x, ...Object.values(params)], idle);
}

function training({ config, recipe, decayed }: Extract<Work, { op: "train" }>, inputs: Inputs, idle: () => Promise<void>): Prepared {
  const variables = Object.fromEntries(Object.entries(parameters(inputs)).map(([name, t]) => {
    const variable = tf.variable(t);
    t.dispose();
    return [name, variable];
  }));
  const [x, target, teacherLogits] = ["x", "target", "teacherLogits"].map((name) => upload(inputs.get(name)!)) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const optimizer = tf.train.adam(recipe.lr, recipe.beta1, recipe.beta2, recipe.eps);
  const shrink = tf.scalar(1 - recipe.lr * recipe.weightDecay);
  const all = Object.values(variables);

  const crossEntropy = (probabilities: tf.Tensor, logits: tf.Tensor) => tf.neg(tf.mean(tf.sum(tf.mul(probabilities, tf.logSoftmax(logits)), -1)));
  const loss = (): tf.Scalar => {
    const [cls, dist] = forward(variables, x, config);
    const teacher = tf.oneHot(tf.argMax(teacherLogits, -1), config.numClasses, 1, 0, "float32");
    return tf.add(tf.mul(crossEntropy(target, cls), 1 - recipe.alpha), tf.mul(crossEntropy(teacher, dist), recipe.alpha));
  };
  const step = (): tf.Tensor[] => {
    const { value, grads } = tf.variableGrads(loss, all);
    for (const name of decayed) variables[name]!.assign(tf.mul(variables[name]!, shrink));
    optimizer.applyGradients(Object.entries(grads).map(([name, tensor]) => ({ name, tensor })));
    return [value];
  };
  const own = prepared(step, [same], [x, target, teacherLogits, shrink, ...all], idle);
  return {
    ...own,
    dispose() {
      own.dispose();
      optimizer.dispose();
    },
  };
}

/** `compute` runs in a tidy; `from` are the layouts of its results. */
function prepared(compute: () => tf.Tensor[], from: readonly Layout["from"][], owned: readonly tf.Tensor[], idle: () => Promise<void>): Prepared {
  let latest: tf.Tensor[] = [];
  return {
    async run(times) {
      for (let i = 0; i < times; i++) {
        tf.dispose(latest);
        latest = tf.tidy(compute);
      }
      await idle();
    },
    async result() {
      const converted = tf.tidy(() => latest.map((t, i) => from[i]!(t)));
      await idle(); // reading waits in the library's own way
      const values = await Promise.all(converted.map(async (t) => Float32Array.from(await t.data())));
      tf.dispose(converted);
      return values;
    },
    dispose() {
      tf.dispose(latest);
      latest = [];
      tf.dispose([...owned]);
    },
  };
}
