import { getDevice } from "../../engine/device.ts";
import { philox, toUniform } from "../../kernels/shared/random.ts";
import { Tensor } from "../../engine/tensor.ts";
import { dropPath, dropPathFactors } from "../../kernels/drop-path.ts";
import { dropout } from "../../kernels/dropout.ts";
import { linear } from "../../kernels/linear.ts";
import { mlp } from "../../kernels/mlp.ts";
import { checkOp, close, refuses, type Case } from "../check.ts";
import { linearReference } from "../reference/matmul.ts";

const SEED = 0xdeadbeef,
  STEP = 12345,
  STREAM = 7;

/** Seed and step past the first word, so that reading another one shows. */
function options(rate: number) {
  const tensor = Tensor.from([1, SEED, STEP], [3], "u32");
  return { rate, seed: { tensor, at: 1 }, step: { tensor, at: 2 }, stream: STREAM };
}

const draw = (block: number, lane: number): number => toUniform(philox([block, 0, STEP, 0], [SEED, STREAM])[lane]!);
const factor = (u: number, rate: number): number => (u >= Math.fround(rate) ? 1 / (1 - rate) : 0);

// The second branch's factors of B samples, some of them dropped.
const B = 7,
  RATE = 0.4;
const branch = () => ({ tensor: dropPathFactors([0, RATE], B, options(0)), at: B });
const drawOf = (stream: number, sample: number): number => toUniform(philox([sample, 0, STEP, 0], [SEED, stream])[0]!);
const factorOf = (i: number, per: number): number => factor(drawOf(1, Math.floor(i / per)), RATE);

/** Which of n ones survive, and that it is the mask of the TypeScript Philox, element by element. */
async function mask(what: string, y: Tensor, keep: (i: number) => boolean): Promise<void> {
  const got = await y.floats();
  const seen = new Set<boolean>();
  got.forEach((v, i) => {
    seen.add(v !== 0);
    if ((v !== 0) !== keep(i)) throw new Error(`${what}: expected element ${i} ${keep(i) ? "kept" : "dropped"}, got ${v}`);
  });
  if (seen.size !== 2) throw new Error(`${what}: expected some kept and some dropped, got all alike`);
}

const ones = (shape: readonly number[]) => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)).fill(1), shape);

async function noLaunch(what: string, x: Tensor, op: (x: Tensor) => Tensor): Promise<void> {
  const before = getDevice().stats.launches;
  if (op(x) !== x || getDevice().stats.launches !== before) throw new Error(`${what}: expected the input itself and no launch`);
}

export const cases: Case[] = [
  {
    name: "dropPath: the mask is Philox's, bit for bit",
    run: () => mask("dropPath", dropPath(ones([300, 3]), options(0.3)), (i) => draw(Math.floor(i / 3), 0) >= Math.fround(0.3)),
  },
  {
    name: "dropout: the mask is Philox's, bit for bit",
    run: () => mask("dropout", dropout(ones([1031]), options(0.3)), (i) => draw(Math.floor(i / 4), i % 4) >= Math.fround(0.3)),
  },
  ...[
    { why: "one value per sample", shape: [9, 1] },
    { why: "samples past a workgroup, an odd size", shape: [5, 7, 83] },
    { why: "samples of vectors", shape: [4, 17, 192] },
  ].flatMap(({ why, shape }): Case[] => {
    const per = shape.slice(1).reduce((a, b) => a * b);
    const kept = (x: Float64Array) => x.map((v, i) => v * factor(draw(Math.floor(i / per), 0), 0.4));
    return [
      { name: `dropPath: ${why}`, run: () => checkOp({ inputs: [shape], op: (x) => dropPath(x, options(0.4)), reference: kept, shape }) },
    ];
  }),
  {
    name: "dropPathFactors: a stream per branch, each with its rate",
    run: async () => {
      const rates = [0, 0.5, 0.3];
      const got = await dropPathFactors(rates, 9, options(0)).floats();
      got.forEach((v, i) => close(`factor ${i}`, v, factor(drawOf(Math.floor(i / 9), i % 9), rates[Math.floor(i / 9)]!), 1e-6));
    },
  },
  ...(["register", "shared"] as const).map(
    (variant): Case => ({
      name: `linear: a branch's factors, GELU and residual (${variant})`,
      run: () =>
        checkOp({
          inputs: [[B, 3, 4], [8, 4], [8], [B, 3, 8]],
          op: (x, w, b, residual) => linear(x, w, b, { activation: "gelu", residual, factors: branch(), variant }),
          reference: (x, w, b, residual) =>
            linearReference({ rows: 3 * B, I: 4, O: 8, activation: "gelu" })(x, w, b).map(
              (v, i) => v * factorOf(i, 24) + (residual?.[i] ?? 0),
            ),
        }),
    }),
  ),
  ...(["register", "shared"] as const).map(
    (variant): Case => ({
      name: `linear: a branch's factors, its sum split (${variant})`,
      run: () =>
        checkOp({
          inputs: [[B, 520], [3, 520], [3]],
          op: (x, w, b) => linear(x, w, b, { factors: branch(), variant }),
          reference: (x, w, b) => linearReference({ rows: B, I: 520, O: 3 })(x, w, b).map((v, i) => v * factorOf(i, 3)),
        }),
    }),
  ),
  // Products by workgroup memory multiply by the factors as they load, in vectors or not; a sample ends within a slab.
  ...[
    { N: 10, I: 8, O: 12, LayerScale: true },
    { N: 5, I: 6, O: 9, LayerScale: false },
  ].map(({ N, I, O, LayerScale }): Case => {
    const product = linearReference({ rows: N * B, I, O });
    return {
      name: `linear: a branch's factors${LayerScale ? " and LayerScale" : ""} in products of ${N * B} rows, ${I} to ${O}`,
      run: () =>
        checkOp({
          inputs: [[B, N, I], [O, I], [O], ...(LayerScale ? [[O]] : [])],
          op: (x, w, b, scale) => linear(x!, w!, b!, { factors: branch(), scale, variant: "shared-32x32" }),
          reference: (x, w, b, scale) => product(x!, w!, b!).map((v, i) => v * factorOf(i, N * O) * (scale?.[i % O] ?? 1)),
        }),
    };
  }),
  {
    name: "mlp: a branch's factors and residual",
    run: () =>
      checkOp({
        inputs: [[B, 2, 4], [8, 4], [8], [5, 8], [5], [B, 2, 5]],
        op: (x, w1, b1, w2, b2, residual) => mlp(x, w1, b1, w2, b2, { residual, factors: branch() }),
        reference: (x, w1, b1, w2, b2, residual) =>
          linearReference({ rows: 2 * B, I: 8, O: 5 })(
            linearReference({ rows: 2 * B, I: 4, O: 8, activation: "gelu" })(x!, w1!, b1),
            w2!,
            b2,
          ).map((v, i) => v * factorOf(i, 10) + residual![i]!),
      }),
  },
  {
    name: "dropout: whole blocks",
    run: () =>
      checkOp({
        inputs: [[9, 116]],
        op: (x) => dropout(x, options(0.4)),
        reference: (x) => x.map((v, i) => v * factor(draw(Math.floor(i / 4), i % 4), 0.4)),
        shape: [9, 116],
      }),
  },
  {
    name: "dropout: a length that fills no block",
    run: () =>
      checkOp({
        inputs: [[7, 37]],
        op: (x) => dropout(x, options(0.4)),
        reference: (x) => x.map((v, i) => v * factor(draw(Math.floor(i / 4), i % 4), 0.4)),
        shape: [7, 37],
      }),
  },
  { name: "dropPath: rate 0 launches nothing", run: () => noLaunch("dropPath", ones([2, 3]), (x) => dropPath(x, options(0))) },
  { name: "dropout: rate 0 launches nothing", run: () => noLaunch("dropout", ones([2, 3]), (x) => dropout(x, options(0))) },
  {
    name: "dropPath: refuses a rate of 1",
    run: () => refuses(() => dropPath(Tensor.zeros([2, 2]), options(1)), /dropPath: expected a rate in \[0, 1\), got 1/),
  },
  {
    name: "dropout: refuses a rate of 1",
    run: () => refuses(() => dropout(Tensor.zeros([2]), options(1)), /dropout: expected a rate in \[0, 1\), got 1/),
  },
  {
    name: "dropPathFactors: refuses a rate of 1",
    run: () => refuses(() => dropPathFactors([0, 1], 2, options(0)), /dropPathFactors: expected a rate in \[0, 1\), got 1/),
  },
  {
    name: "linear: refuses fewer factors than samples",
    run: () =>
      refuses(
        () => linear(Tensor.zeros([4, 2]), Tensor.zeros([3, 2]), null, { factors: { tensor: Tensor.zeros([2, 3]), at: 3 } }),
        /linear: expected factors from element 3 on for a result \[4,3\], got \[2,3\]/,
      ),
  },
];
