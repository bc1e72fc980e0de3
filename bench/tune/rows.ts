/** Questions "layerNorm ROWSxD", "softmax ROWSxD", "logSoftmax ROWSxD", as kernels/rows/rows.ts asks them; forward and backward are one choice. */
import { gradients } from "../../engine/autograd.ts";
import { layerNorm } from "../../kernels/layer-norm.ts";
import { rowVariants, type RowVariant } from "../../kernels/rows/rows.ts";
import { logSoftmax, softmax } from "../../kernels/softmax.ts";
import { DEFAULT, farOff, upload, values, type Problem } from "./problem.ts";

const EPS = 1e-6,
  TOLERANCE = 1e-4;

export function rowsProblem(question: string): Problem | null {
  const match = /^(layerNorm|softmax|logSoftmax) (\d+)x(\d+)$/.exec(question);
  if (!match) return null;
  const op = match[1] as "layerNorm" | "softmax" | "logSoftmax",
    rows = Number(match[2]),
    D = Number(match[3]);
  const given = { x: values(rows * D, 1), dy: values(rows * D, 2), weight: values(D, 3), bias: values(D, 4) };
  const x = upload(given.x, [rows, D]),
    dy = upload(given.dy, [rows, D]),
    weight = upload(given.weight, [D]),
    bias = upload(given.bias, [D]);
  const wanted = op === "layerNorm" ? [x, weight, bias] : [x];
  for (const t of wanted) t.requiresGrad = true;
  const run = (variant?: RowVariant) => () => {
    const options = variant ? { variant } : {};
    const y =
      op === "layerNorm"
        ? layerNorm(x, weight, bias, { eps: EPS, ...options })
        : op === "softmax"
          ? softmax(x, options)
          : logSoftmax(x, options);
    return [y, ...gradients(y, wanted, dy)];
  };
  let expected: readonly Float64Array[] | undefined;
  return {
    question,
    flops: 0,
    candidates: [
      { name: DEFAULT, needs: {}, run: run() },
      ...rowVariants(D).map((name) => ({ name, needs: { invocations: /256$/.test(name) ? 256 : 128 }, run: run(name) })),
    ],
    fault(results) {
      expected ??= op === "layerNorm" ? layerNormed(given, rows, D) : softmaxed(op, given, rows, D);
      return expected.map((e, i) => farOff(["y", "dx", "dweight", "dbias"][i]!, results[i], e, TOLERANCE)).find((f) => f !== null) ?? null;
    },
    dispose() {
      for (const t of [x, dy, weight, bias]) t.dispose();
    },
  };
}

type Given = Readonly<Record<"x" | "dy" | "weight" | "bias", Float32Array>>;

function softmaxed(op: "softmax" | "logSoftmax", { x, dy }: Given, rows: number, D: number): Float64Array[] {
  const y = new Float64Array(rows * D),
    dx = new Float64Array(rows * D);
  for (let at = 0; at < rows * D; at += D) {
    let sum = 0,
      inner = 0;
    for (let i = at; i < at + D; i++) sum += Math.exp(x[i]!); // in [-1, 1): no maximum needed
    for (let i = at; i < at + D; i++) {
      y[i] = op === "softmax" ? Math.exp(x[i]!) / sum : x[i]! - Math.log(sum);
      inner += op === "softmax" ? dy[i]! * y[i]! : dy[i]!;
    }
    for (let i = at; i < at + D; i++) dx[i] = op === "softmax" ? y[i]! * (dy[i]! - inner) : dy[i]! - Math.exp(y[i]!) * inner;
  }
  return [y, dx];
}

function layerNormed({ x, dy, weight, bias }: Given, rows: number, D: number): Float64Array[] {
  const y = new Float64Array(rows * D),
    dx = new Float64Array(rows * D),
    dweight = new Float64Array(D),
    dbias = new Float64Array(D);
  const n = new Float64Array(D);
  for (let at = 0; at < rows * D; at += D) {
    let mean = 0,
      variance = 0,
      g = 0,
      gn = 0;
    for (let i = 0; i < D; i++) mean += x[at + i]! / D;
    for (let i = 0; i < D; i++) variance += (x[at + i]! - mean) ** 2 / D;
    const rstd = 1 / Math.sqrt(variance + EPS);
    for (let i = 0; i < D; i++) {
      n[i] = (x[at + i]! - mean) * rstd;
      y[at + i] = n[i]! * weight[i]! + bias[i]!;
      dweight[i]! += dy[at + i]! * n[i]!;
      dbias[i]! += dy[at + i]!;
      g += (dy[at + i]! * weight[i]!) / D;
      gn += (dy[at + i]! * weight[i]! * n[i]!) / D;
    }
    for (let i = 0; i < D; i++) dx[at + i] = rstd * (dy[at + i]! * weight[i]! - g - n[i]! * gn);
  }
  return [y, dx, dweight, dbias];
}
