/**
 * A linear probe: the classifier alone, on features that are computed once. Every step sees all examples, so that a run of many steps takes
 * seconds. The features are kept on the CPU; after a lost device they are uploaded again.
 */
import { DeviceLostError } from "../engine/errors.ts";
import type { Tensor } from "../engine/tensor.ts";
import { reshape, slice } from "../kernels/movement.ts";
import { parseSafetensors, writeSafetensors } from "../models/checkpoints/safetensors.ts";
import { prefixTokens } from "../models/deit.ts";
import { createModel } from "../models/model.ts";
import type { State } from "../models/params.ts";
import type { FineTuneOptions, TuneEpoch } from "./api.ts";
import { reopenDevice } from "./device.ts";
import { StoreError } from "./errors.ts";
import type { Outcome, Task } from "./parts.ts";
import { Probe, type ProbeState } from "./probe.ts";
import { Runtime, type Pass } from "./runtime.ts";

/** Full-batch steps and AdamW's weight decay. More steps overfit few examples: figures in test/slow/RESULTS.md. */
const STEPS = 100;
const DECAY = 0.01;
const LOSSES = 5;

/**
 * AdamW's peak rate: 0.003, and from 180 examples on growing to 0.01. A higher one overfits few examples; of many, all that a lower one does is
 * not to get there: 36 and 53 % of ten drawn shapes with 200 pictures each. Figures in test/slow/RESULTS.md.
 */
export const headRate = (examples: number): number => Math.min(0.01, 0.003 * Math.sqrt(Math.max(1, examples / 180)));

/** (B, T, D): the input features of each of T heads. */
const headInput: Pass = (model, params, x) => {
  const { config } = model;
  if (config.arch !== "deit") {
    const { logits: pooled } = createModel({ ...config, numClasses: 0 }).forward(params, x);
    return [reshape(pooled, [pooled.shape[0]!, 1, pooled.shape[1]!])];
  }
  const tapped: { value?: Tensor } = {};
  model.forward(params, x, { tap: (name, value) => name === "norm" && (tapped.value = value) });
  return [slice(tapped.value!, 1, 0, prefixTokens(config))];
};

export async function tuneHead(task: Task, o: FineTuneOptions): Promise<Outcome> {
  const { parts, split, seed } = task;
  const { labels } = split;
  const settings = {
    steps: o.epochs ?? STEPS,
    rate: o.learningRate ?? headRate(split.train.length),
    decay: o.recipe?.weightDecay ?? DECAY,
  };
  const smoothing = o.recipe?.labelSmoothing ?? 0;
  if (!Number.isInteger(settings.steps) || settings.steps < 1)
    throw new Error(`fineTune: expected epochs of at least 1, got ${settings.steps}`);
  const runtime = new Runtime(parts.model, parts.state, parts.steps, "f32");
  const features = async (examples: typeof split.train): Promise<Float32Array> => {
    const found: Float32Array[] = [];
    for (let at = 0; at < examples.length; at += 16) {
      o.signal?.throwIfAborted();
      const pictures = examples.slice(at, at + 16).map(({ image }) => ({ kind: "bytes", image }) as const);
      found.push(...(await runtime.run("head", headInput, pictures)).map(([values]) => values!));
      o.onProgress?.({ phase: "prepare", done: at + pictures.length, total: examples.length });
    }
    return joined(found);
  };
  const [seen, held] = [await features(split.train), await features(split.held)];
  runtime.dispose();
  const identity = JSON.stringify({
    train: "head",
    model: parts.model.config,
    labels,
    seed,
    settings: { ...settings, smoothing },
    examples: split.train.length,
    features: await digest(seen),
  });
  let state: ProbeState | null = task.kept && restored(task.kept, identity);
  const numbers = (examples: typeof split.train) => examples.map((e) => labels.indexOf(e.label));
  const told = { step: state?.step ?? 0, losses: 0 };
  for (;;) {
    await reopenDevice();
    try {
      const run = new Probe(parts.model, parts.state, seen, numbers(split.train), { ...settings, smoothing }, state);
      try {
        await run.record((done, total) => o.onProgress?.({ phase: "compile", done, total }));
        let [kept, keptMs] = [run.step, performance.now()];
        const startMs = performance.now();
        let stopped = false;
        let last = { loss: NaN, top1: NaN };
        while (run.step < settings.steps && !stopped) {
          last = await run.next();
          if (run.step > told.step) {
            Object.assign(told, { step: run.step, losses: 0 });
            o.onStep?.(stepMetrics(run, settings.steps, last, numbers(split.train).length, startMs));
            o.onProgress?.({ phase: "train", done: run.step, total: settings.steps });
          }
          stopped = (o.signal?.aborted ?? false) && run.step < settings.steps;
          const { steps = Infinity, seconds = 30 } = o.checkpointEvery ?? {};
          if (stopped || run.step - kept >= steps || performance.now() - keptMs > 1000 * seconds) {
            state = await run.read();
            await task.keep(saved(state, identity));
            [kept, keptMs] = [run.step, performance.now()];
          }
        }
        state = await run.read();
        const epochs: TuneEpoch[] = [];
        if (!stopped) {
          const test = split.held.length > 0 ? await run.evaluate(held, numbers(split.held)) : null;
          epochs.push({
            kind: "epoch",
            epoch: settings.steps - 1,
            step: run.step,
            trainLoss: last.loss,
            trainTop1: last.top1,
            test,
            seconds: (performance.now() - startMs) / 1000,
            inputWait: 0,
          } as TuneEpoch);
          o.onEpoch?.(epochs[0]!);
        }
        return { state: withHeads(parts.state, run.heads, state), finished: !stopped, epochs };
      } finally {
        run.dispose();
      }
    } catch (error) {
      if (!(error instanceof DeviceLostError) || ++told.losses >= LOSSES) throw error;
    }
  }
}

const stepMetrics = (run: Probe, totalSteps: number, { loss, top1 }: { loss: number; top1: number }, images: number, startMs: number) => ({
  kind: "step" as const,
  epoch: run.step - 1,
  step: run.step,
  totalSteps,
  lr: run.rate,
  loss,
  base: loss,
  distill: 0,
  gradNorm: 0,
  finite: Number.isFinite(loss),
  trainTop1: top1,
  imagesPerSecond: (1000 * images * run.step) / (performance.now() - startMs),
  inputWait: 0,
});

const withHeads = (state: State, heads: readonly string[], { values }: ProbeState): State =>
  new Map([...state].map(([name, t]) => [name, heads.includes(name) ? { shape: t.shape, data: values.get(name)! } : t]));

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  parts.reduce((at, p) => (all.set(p, at), at + p.length), 0);
  return all;
}

async function digest(values: Float32Array): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", values as Float32Array<ArrayBuffer>);
  return Array.from(new Uint8Array(hash), (b) => b.toString(16).padStart(2, "0")).join("");
}

const RECORD = "tessera_probe";

const saved = ({ step, values }: ProbeState, identity: string): Uint8Array =>
  writeSafetensors(new Map([...values].map(([name, data]) => [name, { dtype: "F32" as const, shape: [data.length], data }])), {
    [RECORD]: JSON.stringify({ step, identity }),
  });

/** Throws StoreError, naming the difference, if the file is not a state of this run. */
function restored(bytes: Uint8Array, identity: string): ProbeState {
  const refuse = (got: string): never => {
    throw new StoreError(`fineTune: expected the store to hold this run or none, got ${got}: delete() it, or use another store`);
  };
  let file: ReturnType<typeof parseSafetensors>;
  try {
    file = parseSafetensors(bytes);
  } catch {
    return refuse("a file that is no run's state");
  }
  const text = file.metadata[RECORD];
  if (text === undefined) return refuse('a run of another kind than train "head", or a model');
  const { step, identity: of } = JSON.parse(text) as { step: number; identity: string };
  const [a, b] = [JSON.parse(of), JSON.parse(identity)] as Record<string, unknown>[];
  const other = Object.keys(b!).find((key) => JSON.stringify(a![key]) !== JSON.stringify(b![key]));
  if (other) refuse(`one with another ${other}: ${JSON.stringify(a![other])}, not ${JSON.stringify(b![other])}`);
  return { step, values: new Map([...file.tensors].map(([name, t]) => [name, t.data as Float32Array])) };
}
