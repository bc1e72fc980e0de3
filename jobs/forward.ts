/** `forward`: a model's eval-mode outputs, and on request its activations, for images from a file. */
import { noGrad } from "../engine/autograd.ts";
import { record } from "../engine/plan.ts";
import { readAll, Tensor } from "../engine/tensor.ts";
import { classesIn } from "../models/heads.ts";
import { createModel, type Model } from "../models/model.ts";
import { loadParams, type State } from "../models/params.ts";
import { resizedPosEmbed } from "../models/pos-embed.ts";
import { storedModel, storedParams } from "../models/mixed-precision.ts";
import { checkDtype, type StoredType } from "./files/dtype.ts";
import type { Host } from "./host.ts";
import { refusing } from "./errors.ts";
import { checkNames, floatsOf, readTensors, writeTensors } from "./files/tensor-file.ts";
import { readWeightsFile } from "./files/weights-file.ts";

/** A timm name or a config, and a file with its weights. */
export interface ModelArgs {
  readonly model: string | Readonly<Record<string, unknown>>;
  readonly weights: string;
  /** Side of the images, in pixels, where it is not the model's own; the position embedding is interpolated. */
  readonly imgSize?: number | undefined;
}

export interface ForwardArgs extends ModelArgs {
  readonly in: string;
  readonly out: string;
  readonly activations?: boolean | undefined;
  readonly resizePosEmbed?: boolean | undefined;
  /** How activations and matrices are stored. */
  readonly dtype?: StoredType | undefined;
}

export interface ForwardResult {
  readonly model: string;
  readonly batch: number;
  /** Shapes by name. */
  readonly outputs: Readonly<Record<string, readonly number[]>>;
  /** Recording the model and compiling its pipelines. */
  readonly warmUpMs: number;
  /** The run itself, without reading its results. */
  readonly runMs: number;
}

/** The taps that are results of their own: whole stages, not parts of a block. */
const ACTIVATION = /^(patch_embed|blocks\.\d+|norm|stem|s\d)$/;

export default async function forwardJob(host: Host, args: ForwardArgs): Promise<ForwardResult> {
  const { dtype = "f32" } = args;
  checkDtype(dtype);
  const { model, state } = await readModel(host, args);
  const file = await readTensors(host, args.in);
  // What grad and step need besides x may stay in the file.
  checkNames(file, ["x"], ["labels", "target", "teacher_logits"], args.in);
  const { shape, data } = floatsOf(file, "x");
  const fitted = args.resizePosEmbed ? refusing(() => resizedPosEmbed(state, model), args.weights) : state;
  const params = storedParams(
    refusing(() => loadParams("weights", model.params, fitted), args.weights),
    dtype,
  );
  const x = Tensor.from(data, shape);
  const startMs = performance.now();
  const plan = await record(
    () =>
      refusing(() =>
        noGrad(() => {
          const activations: Record<string, Tensor> = {};
          const tap = (name: string, value: Tensor) => {
            if (ACTIVATION.test(name)) activations[name] = value;
          };
          const { logits, logitsCls, logitsDist } = storedModel(model, dtype).forward(params, x, args.activations ? { tap } : {});
          if (model.numClasses === 0) return { features: logits, ...activations };
          return { logits, ...(logitsDist ? { logits_cls: logitsCls, logits_dist: logitsDist } : {}), ...activations };
        }),
      ),
    { label: "forward", onCompile: (done, total) => host.progress({ label: "compiling kernels", done, total }) },
  );
  const compiledMs = performance.now();
  plan.run();
  await plan.idle();
  const doneMs = performance.now();
  const values = (await readAll(Object.values(plan.result))) as Float32Array[];
  const outputs = new Map(Object.entries(plan.result).map(([name, t], i) => [name, { shape: t.shape, data: values[i]! }]));
  plan.dispose();
  for (const t of [x, ...Object.values(params)]) t.dispose();
  await writeTensors(host, args.out, outputs);
  return {
    model: model.name,
    batch: shape[0]!,
    outputs: Object.fromEntries([...outputs].map(([name, t]) => [name, t.shape])),
    warmUpMs: compiledMs - startMs,
    runMs: doneMs - compiledMs,
  };
}

/** A name alone leaves the number of classes to the file's classifier. */
export async function readModel(host: Host, { model: what, weights, imgSize }: ModelArgs): Promise<{ model: Model; state: State }> {
  refusing(() => createModel(what)); // before a large file is read
  const { state } = await readWeightsFile(host, weights);
  const own = refusing(() => createModel(what, typeof what === "string" ? classesIn(state) : undefined));
  if (imgSize === undefined) return { model: own, state };
  const model = { ...refusing(() => createModel({ ...own.config, imgSize })), name: own.name };
  return { model, state: model.config.arch === "deit" ? refusing(() => resizedPosEmbed(state, model), weights) : state };
}
