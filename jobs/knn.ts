/** `knn`: how well features of a file tell the classes of another apart: nearest neighbours, retrieval, and on request a linear probe. */
import type { Model } from "../models/model.ts";
import type { ParamSpec } from "../models/params.ts";
import { knn, type KnnScore, type LabelledFeatures } from "../tasks/neighbours.ts";
import { Probe } from "../tasks/probe.ts";
import { refusing, UsageError } from "./errors.ts";
import type { Host } from "./host.ts";
import { floatsOf, labelsOf, readTensors } from "./files/tensor-file.ts";

export interface KnnArgs {
  readonly train: string;
  readonly test: string;
  readonly k: number;
  readonly tau: number;
  /** Also trains a linear classifier: full-batch steps of AdamW, its peak rate on a cosine to 0, and weight decay. */
  readonly probe?: { readonly steps: number; readonly lr: number; readonly weightDecay: number } | undefined;
}

export interface KnnResult extends KnnScore {
  readonly probe?: { readonly top1: number; readonly top5: number; readonly loss: number; readonly trainTop1: number };
}

export default async function knnJob(host: Host, { train: from, test: to, k, tau, probe }: KnnArgs): Promise<KnnResult> {
  const train = await readFeatures(host, from);
  const same = to === from; // then no row is its own neighbour
  const test = same ? train : await readFeatures(host, to);
  const scored = refusing(() =>
    knn(train, test, { k, tau, leaveOut: same }, (done) => host.progress({ label: "knn", done, total: test.labels.length })),
  );
  return { ...scored, ...(probe ? { probe: await probed(host, train, test, probe) } : {}) };
}

async function readFeatures(host: Host, path: string): Promise<LabelledFeatures & { readonly labels: readonly number[] }> {
  const file = await readTensors(host, path);
  if (!file.has("labels"))
    throw new UsageError(
      `expected labels beside the features in ${path} (features --data writes them), got ${[...file.keys()].join(", ")}`,
    );
  const { shape, data } = floatsOf(file, "features");
  if (shape.length !== 2) throw new UsageError(`expected features [N,D] in ${path} (features --pool cls or mean), got [${shape}]`);
  return { data, labels: [...labelsOf(file, "labels", shape[0]!, 2 ** 32)] };
}

async function probed(
  host: Host,
  train: LabelledFeatures & { readonly labels: readonly number[] },
  test: LabelledFeatures & { readonly labels: readonly number[] },
  { steps, lr, weightDecay }: NonNullable<KnnArgs["probe"]>,
): Promise<NonNullable<KnnResult["probe"]>> {
  const D = train.data.length / train.labels.length;
  const classes = 1 + [...train.labels, ...test.labels].reduce((most, label) => Math.max(most, label), 0);
  const spec = (name: string, shape: readonly number[], decay: boolean): ParamSpec => ({
    name,
    shape,
    init: { kind: "zeros" },
    trainable: true,
    decay,
  });
  const params = [spec("head.weight", [classes, D], true), spec("head.bias", [classes], false)];
  const zeros = new Map(params.map(({ name, shape }) => [name, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }]));
  const run = new Probe(
    { params } as unknown as Model,
    zeros,
    train.data,
    train.labels,
    { steps, rate: lr, decay: weightDecay, smoothing: 0 },
    null,
  );
  try {
    await run.record((done, total) => host.progress({ label: "compiling kernels", done, total }));
    let trainTop1 = 0;
    while (run.step < steps) {
      ({ top1: trainTop1 } = await run.next());
      host.progress({ label: "linear probe", done: run.step, total: steps });
    }
    const { model } = await run.evaluate(test.data, test.labels);
    return { top1: model.top1, top5: model.top5, loss: model.loss, trainTop1 };
  } finally {
    run.dispose();
  }
}
