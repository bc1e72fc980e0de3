/**
 * The distillation itself, off the page's thread: the library's own training loop on the shipped pictures, with its state kept in the
 * origin's private files, so that a pause, a reload or a lost device goes on with the same bits.
 */
import {
  adapterName,
  attentionMaps,
  CIFAR10_MEAN,
  CIFAR10_STD,
  countParams,
  createModel,
  DeviceLostError,
  type EpochMetrics,
  Evaluator,
  getDevice,
  type ImageSet,
  initDevice,
  loadParams,
  makeRecipe,
  memoryOnly,
  memorySource,
  type Model,
  normalizeImages,
  opfs,
  parseCifar,
  readWeights,
  score,
  type Recipe,
  type State,
  Tensor,
  train,
} from "../../../index.ts";
import { DISTILLATION, RECIPE } from "../../../jobs/demo/recipe.ts";
import { messageOf } from "../shell/message.ts";
import { type Evaluated, type FromWorker, type Settings, SIZES, type Sources, type StepReport, type ToWorker } from "./messages.ts";

const tell = (message: FromWorker): void => postMessage(message);
const normalization = { mean: CIFAR10_MEAN, std: CIFAR10_STD };
/** The run ends with its newest state after this number of lost devices. */
const MOST_LOST = 5;
const LOOKED_AT = 12;
/** Updates from one that is timed launch by launch to the next. */
const PROFILE_EVERY = 20;
/** Number of test pictures evaluated on a software adapter; all of them would take a minute. */
const FEW = 200;

let pausing = false;

const bytesOf = async (url: string): Promise<Uint8Array<ArrayBuffer>> => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`distil: expected ${url.split("/").at(-1)}, got ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
};

const recipeOf = ({ distillation, epochs, learningRate, batchSize }: Settings): Recipe =>
  makeRecipe({
    ...RECIPE,
    epochs,
    batchSize,
    lr: learningRate,
    warmupEpochs: Math.min(2, epochs / 10),
    distillation,
    ...(distillation === "soft" ? DISTILLATION : {}),
  });

interface Loaded {
  readonly trainSet: ImageSet;
  readonly testSet: ImageSet;
  readonly teacher: { readonly model: Model; readonly state: State };
}

async function load(data: Sources): Promise<Loaded> {
  const [trainSet, testSet, weights] = await Promise.all([bytesOf(data.train), bytesOf(data.test), bytesOf(data.teacher)]);
  const { state, info } = readWeights(weights);
  return { trainSet: parseCifar(trainSet), testSet: parseCifar(testSet), teacher: { model: createModel(info!.config as never), state } };
}

/** The first `count` pictures. */
function firstOf(set: ImageSet, count: number): ImageSet {
  const size = set.images.length / set.count;
  return { ...set, images: set.images.subarray(0, count * size), labels: set.labels.subarray(0, count), count };
}

/** The teacher's answers on the test pictures, and its accuracy. */
async function teach({ testSet, teacher }: Loaded): Promise<{ top1: number; logits: Float32Array }> {
  const params = loadParams("teacher", teacher.model.params, teacher.state);
  const evaluator = await Evaluator.create(teacher.model, params, normalization, 50);
  try {
    const [logits] = await evaluator.logits(memorySource(testSet, "test pictures"), {
      platform: memoryOnly,
      onProgress: (done) => tell({ kind: "status", text: `asking the teacher about ${done} of ${testSet.count} test pictures` }),
    });
    return { top1: score(logits!, testSet.labels, testSet.classes.length).top1, logits: logits! };
  } finally {
    evaluator.dispose();
    for (const t of Object.values(params)) t.dispose();
  }
}

const bestOf = (logits: Float32Array, row: number, classes: number): { index: number; probability: number } => {
  const own = logits.subarray(row * classes, (row + 1) * classes);
  const most = Math.max(...own);
  const sum = own.reduce((total, v) => total + Math.exp(v - most), 0);
  return { index: own.indexOf(most), probability: 1 / sum };
};

/** Predictions and attention for the first dozen test pictures, by these weights. */
async function look(model: Model, state: State, set: ImageSet, teacherLogits: Float32Array): Promise<Evaluated["looks"]> {
  const params = loadParams("student", model.params, state);
  const [channels, side] = set.shape;
  const bytes = set.images.slice(0, LOOKED_AT * channels * side * side);
  const images = Tensor.from(bytes, [LOOKED_AT, channels, side, side], "u8");
  const x = normalizeImages(images, normalization);
  const { logits } = model.forward(params, x);
  const values = (await logits.floats()) as Float32Array;
  const { maps, side: grid } = await attentionMaps(model, params, x).then((found) => ({ maps: found.cls, side: found.side }));
  for (const t of [images, x, logits, ...Object.values(params)]) t.dispose();
  return Array.from({ length: LOOKED_AT }, (_, i) => {
    const pixels = new Uint8ClampedArray(4 * side * side);
    for (let p = 0; p < side * side; p++) {
      for (let c = 0; c < 3; c++) pixels[4 * p + c] = bytes[(i * channels + c) * side * side + p]!;
      pixels[4 * p + 3] = 255;
    }
    const answer = bestOf(values, i, set.classes.length);
    return {
      label: set.classes[set.labels[i]!]!,
      answer: set.classes[answer.index]!,
      probability: answer.probability,
      teacher: set.classes[bestOf(teacherLogits, i, set.classes.length).index]!,
      pixels,
      side,
      attention: maps[i]!,
      grid,
    };
  });
}

const accuracies = ({ step, test }: EpochMetrics): Omit<Evaluated, "looks"> => ({
  step,
  student: test.model.top1,
  classHead: test.cls?.top1 ?? null,
  distillationHead: test.dist?.top1 ?? null,
});

/** The student of a paused run. */
async function studentOf(run: string): Promise<State> {
  const saved = await opfs(storeOf(run)).get();
  if (!saved) throw new Error("distil: expected the state of the paused run, got none: start without it");
  return readWeights(saved).state;
}

const storeOf = (run: string): string => `distil-${run}`;

async function distil({ settings, run, goOn, from, data }: Extract<ToWorker, { kind: "start" }>): Promise<void> {
  const store = opfs(storeOf(run));
  if (!goOn) await store.delete();
  tell({ kind: "status", text: "loading pictures and the teacher" });
  const whole = await load(data);
  const recipe = recipeOf(settings);
  const distilled = settings.distillation !== "none";
  const model = createModel({ arch: "deit", imgSize: 32, numClasses: whole.trainSet.classes.length, distilled, ...SIZES[settings.size] });
  for (let lost = 0; ; ) {
    await initDevice();
    const { adapter } = getDevice();
    const loaded = adapter.software ? { ...whole, testSet: firstOf(whole.testSet, FEW) } : whole;
    tell({
      kind: "facts",
      facts: {
        adapter: adapterName(adapter),
        software: adapter.software,
        parameters: countParams(model.params),
        timed: getDevice().features.has("timestamp-query"),
      },
    });
    try {
      tell({ kind: "status", text: "asking the teacher" });
      const { top1, logits } = await teach(loaded);
      tell({ kind: "facts", facts: { teacherTop1: top1 } });
      const resume = await store.get();
      const initial = from && !resume ? await studentOf(from) : undefined;
      let waiting: StepReport[] = [];
      const flush = (): void => {
        if (waiting.length > 0) tell({ kind: "steps", steps: waiting });
        waiting = [];
      };
      const result = await train({
        model,
        recipe,
        seed: settings.seed,
        train: memorySource(loaded.trainSet, "training pictures"),
        test: memorySource(loaded.testSet, "test pictures"),
        platform: memoryOnly,
        normalization,
        ...(distilled ? { teacher: loaded.teacher } : {}),
        ...(resume ? { resume } : {}),
        ...(initial ? { initial } : {}),
        saveSeconds: 10,
        profileEvery: PROFILE_EVERY,
        onProfile: ({ step, launches }) =>
          tell({ kind: "profile", profile: { step, launches: launches.map(({ kernel, startMs, ms }) => [kernel, startMs, ms] as const) } }),
        shouldStop: () => pausing,
        onCompile: (done, total) => tell({ kind: "status", text: `compiling kernels ${done} of ${total}` }),
        onCheckpoint: (bytes) => store.set(bytes),
        onMetrics: (m) => {
          if (m.kind === "step") {
            waiting.push({
              step: m.step,
              totalSteps: m.totalSteps,
              loss: m.loss,
              labels: m.base,
              teacher: m.distill,
              learningRate: m.lr,
              imagesPerSecond: m.imagesPerSecond,
              inputWait: m.inputWait,
            });
            if (waiting.length >= 5) flush();
            tell({ kind: "status", text: "" });
            return;
          }
          flush();
          tell({ kind: "evaluated", evaluated: { ...accuracies(m), looks: [] } });
        },
      });
      flush();
      tell({ kind: "facts", facts: { launches: result.launches, planMegabytes: result.planBytes / 2 ** 20 } });
      const last = result.epochs.at(-1);
      if (last) {
        const looks = await look(model, result.state, loaded.testSet, logits);
        tell({ kind: "evaluated", evaluated: { ...accuracies(last), looks } });
      }
      if (result.finished) await store.delete();
      tell({ kind: "ended", finished: result.finished });
      return;
    } catch (error) {
      if (!(error instanceof DeviceLostError) || ++lost > MOST_LOST) throw error;
      tell({ kind: "status", text: "the GPU was lost; going on from the newest state" });
    }
  }
}

self.onmessage = ({ data: message }: MessageEvent<ToWorker>): void => {
  if (message.kind === "pause") {
    pausing = true;
    return;
  }
  pausing = false;
  distil(message).catch((error: unknown) => tell({ kind: "failed", message: messageOf(error) }));
};
