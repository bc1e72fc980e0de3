import { getDevice } from "../../engine/device.ts";
import { philox, toUniform } from "../../engine/random.ts";
import { Scalars } from "../../engine/scalars.ts";
import { Tensor } from "../../engine/tensor.ts";
import { dropPath, dropPathAdd } from "../../kernels/drop-path.ts";
import { dropout } from "../../kernels/dropout.ts";
import { checkOp, refuses, type Case } from "../check.ts";

const SEED = 0xdeadbeef, STEP = 12345, STREAM = 7;

/** Seed and step past the first word, so that reading another one shows. */
function options(rate: number) {
  const scalars = new Scalars({ other: "f32", seed: "u32", step: "u32" });
  scalars.set({ other: 0.5, seed: SEED, step: STEP });
  return { rate, seed: scalars.at("seed"), step: scalars.at("step"), stream: STREAM };
}

const draw = (block: number, lane: number): number => toUniform(philox([block, 0, STEP, 0], [SEED, STREAM])[lane]!);
const factor = (u: number, rate: number): number => (u >= Math.fround(rate) ? 1 / (1 - rate) : 0);

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
  { name: "dropPath: the mask is Philox's, bit for bit", run: () => mask("dropPath", dropPath(ones([300, 3]), options(0.3)), (i) => draw(Math.floor(i / 3), 0) >= Math.fround(0.3)) },
  { name: "dropout: the mask is Philox's, bit for bit", run: () => mask("dropout", dropout(ones([1031]), options(0.3)), (i) => draw(Math.floor(i / 4), i % 4) >= Math.fround(0.3)) },
  ...[
    { why: "one value per sample", shape: [9, 1] },
    { why: "samples past a workgroup, an odd size", shape: [5, 7, 83] },
    { why: "samples of vectors", shape: [4, 17, 192] },
  ].flatMap(({ why, shape }): Case[] => {
    const per = shape.slice(1).reduce((a, b) => a * b);
    const kept = (x: Float64Array) => x.map((v, i) => v * factor(draw(Math.floor(i / per), 0), 0.4));
    return [
      { name: `dropPath: ${why}`, run: () => checkOp({ inputs: [shape], op: (x) => dropPath(x, options(0.4)), reference: kept, shape }) },
      { name: `dropPathAdd: ${why}`, run: () => checkOp({ inputs: [shape, shape], op: (x, b) => dropPathAdd(x, b, options(0.4)), reference: (x, b) => kept(b).map((v, i) => v + x[i]!), shape }) },
    ];
  }),
  { name: "dropPathAdd: rate 0 is a sum", run: () => checkOp({ inputs: [[3, 5], [3, 5]], op: (x, b) => dropPathAdd(x, b, options(0)), reference: (x, b) => x.map((v, i) => v + b[i]!) }) },
  { name: "dropout: a length that fills no block", run: () => checkOp({ inputs: [[7, 37]], op: (x) => dropout(x, options(0.4)), reference: (x) => x.map((v, i) => v * factor(draw(Math.floor(i / 4), i % 4), 0.4)), shape: [7, 37] }) },
  { name: "dropPath: rate 0 launches nothing", run: () => noLaunch("dropPath", ones([2, 3]), (x) => dropPath(x, options(0))) },
  { name: "dropout: rate 0 launches nothing", run: () => noLaunch("dropout", ones([2, 3]), (x) => dropout(x, options(0))) },
  { name: "dropPath: refuses a rate of 1", run: () => refuses(() => dropPath(Tensor.zeros([2, 2]), options(1)), /dropPath: expected a rate in \[0, 1\), got 1/) },
  { name: "dropout: refuses a rate of 1", run: () => refuses(() => dropout(Tensor.zeros([2]), options(1)), /dropout: expected a rate in \[0, 1\), got 1/) },
  { name: "dropPathAdd: refuses another shape", run: () => refuses(() => dropPathAdd(Tensor.zeros([2, 2]), Tensor.zeros([2, 3]), options(0.1)), /dropPathAdd: expected x and branch of one shape.*\[2,2\] and \[2,3\]/) },
];
