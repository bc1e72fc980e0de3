/**
 * Products on tensor cores: off until turned on, right where they run, the ordinary kernels where they can't. Where the adapter lacks
 * subgroup matrices only the first cases run; test/engine/matrix-wgsl.test.ts compiles the kernels of other adapters.
 */
import { getDevice } from "../../engine/device.ts";
import { SUBGROUP_MATRIX } from "../../engine/wgsl.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import {
  halfBits,
  matrixFault,
  matrixLanes,
  matrixProduct,
  matrixRefuses,
  probeMatrix,
  useSubgroupMatrix,
  type MatrixSetup,
} from "../../kernels/gemm/matrix.ts";
import { subgroupMatrixInUse } from "../../kernels/gemm/matrix-use.ts";
import { divides, matrixBytes, registersOf, matrixTile, type MatrixTile } from "../../kernels/gemm/matrix-tile.ts";
import { linear } from "../../kernels/linear.ts";
import { matmul } from "../../kernels/matmul.ts";
import { refuses, uniform, type Case } from "../check.ts";
import { matmulReference, linearReference } from "../reference/matmul.ts";
import { checkHalf, toHalf } from "../half.ts";

const needs = [SUBGROUP_MATRIX, "shader-f16"];

/** With tensor cores in use. */
async function onMatrices(body: () => Promise<void>): Promise<void> {
  const { on, reason } = await useSubgroupMatrix();
  if (!on) throw new Error(`useSubgroupMatrix: expected to be on, got off: ${reason}`);
  try {
    await body();
  } finally {
    await useSubgroupMatrix(false);
  }
}

async function kernelsOf(body: () => Tensor): Promise<string> {
  const plan = await record(body);
  plan.dispose();
  return plan.kernels.join(" ");
}

async function holds(what: string, pattern: RegExp, body: () => Tensor): Promise<void> {
  const kernels = await kernelsOf(body);
  if (!pattern.test(kernels)) throw new Error(`${what}: expected ${pattern}, got ${kernels}`);
}

/** Zeros of f16, or f32 where the adapter has none. */
const zeros = (shape: readonly number[]): Tensor => Tensor.zeros(shape, getDevice().features.has("shader-f16") ? "f16" : "f32");

const setup: MatrixSetup = { shape: { M: 16, N: 16, K: 16, input: "f16" }, syntax: "majorness", words: true, lanes: 32, sized: false };
const tile = (bm: number, bn: number, bk: number, gm: number, gn: number, staging: MatrixTile["staging"] = "double"): MatrixTile =>
  matrixTile(bm, bn, bk, gm, gn, staging);
const equal = (what: string, got: unknown, expected: unknown): void => {
  if (JSON.stringify(got) !== JSON.stringify(expected))
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
};

// The ordinary cases of products and layers, at sizes of whole tiles and at odd ones that matrices can still do.
const products = (
  [
    ["NN", false, false],
    ["NT", false, true],
    ["TN", true, false],
    ["TT", true, true],
  ] as const
).flatMap(([name, transposeA, transposeB]) =>
  (
    [
      [64, 64, 64],
      [40, 72, 104],
      [136, 40, 1064],
      [200, 264, 40],
    ] as const
  ).map(([M, N, K]): Case => {
    const a = transposeA ? [K, M] : [M, K],
      b = transposeB ? [N, K] : [K, N];
    return {
      name: `gemm.matrix: ${M}x${N}x${K} ${name}, forward and backward`,
      needs,
      run: () =>
        onMatrices(async () => {
          await holds("kernels", /gemm\.matrix/, () => matmul(zeros(a), zeros(b), { transposeA, transposeB }));
          // The rounding of a value is of its size: sqrt(K) / 3 and up to four times that.
          await checkHalf({
            inputs: [a, b],
            op: (x, y) => matmul(x, y, { transposeA, transposeB }),
            roundings: 1 + Math.sqrt(K) / 8,
            reference: matmulReference(a, b, { transposeA, transposeB }),
          });
        }),
    };
  }),
);

export const cases: Case[] = [
  {
    name: "gemm.matrix: off until it is turned on",
    async run() {
      equal("in use", subgroupMatrixInUse(), false);
      await holds("kernels", /^gemm\.(register|subgroup|shared)$/, () => matmul(zeros([64, 64]), zeros([64, 64])));
    },
  },
  {
    name: "gemm.matrix: turned on only with the feature and a right product, and says why not",
    async run() {
      const { on, reason } = await useSubgroupMatrix();
      const has = getDevice().features.has(SUBGROUP_MATRIX);
      try {
        if (!has) {
          equal("on", on, false);
          if (!reason?.includes(SUBGROUP_MATRIX)) throw new Error(`reason: expected ${SUBGROUP_MATRIX}, got ${reason}`);
        } else if (on === (reason !== null)) throw new Error(`useSubgroupMatrix: expected on or a reason, got ${on} and ${reason}`);
        equal("in use", subgroupMatrixInUse(), on);
        await holds("kernels", on ? /gemm\.matrix/ : /^gemm\.(register|subgroup|shared)$/, () => matmul(zeros([64, 64]), zeros([64, 64])));
      } finally {
        equal("off", await useSubgroupMatrix(false), { on: false, reason: null });
      }
      await holds("kernels", /^gemm\.(register|subgroup|shared)$/, () => matmul(zeros([64, 64]), zeros([64, 64])));
    },
  },
  {
    name: "gemm.matrix: the size of a subgroup is never assumed",
    async run() {
      const device = (min: number, max: number, features: string[] = []) => ({ subgroups: { min, max }, features: new Set(features) });
      equal("one size", matrixLanes(device(32, 32)), [{ lanes: 32, sized: false }]);
      equal("open", matrixLanes(device(8, 32)), []);
      equal(
        "open, but the kernel may say: from the least",
        matrixLanes(device(8, 32, ["subgroup-size-control"])),
        [8, 16, 32].map((lanes) => ({ lanes, sized: true })),
      );
      equal("unknown", matrixLanes({ subgroups: null, features: new Set() }), []);
    },
  },
  {
    name: "gemm.matrix: tiles are of whole matrices, and fit the adapter",
    async run() {
      equal("16x16x16", divides(setup.shape, tile(128, 128, 32, 2, 4)), true);
      equal("a third", divides(setup.shape, tile(96, 128, 32, 4, 2)), false);
      equal("half of K", divides(setup.shape, tile(128, 128, 8, 2, 2)), false);
      const limits = { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 256 } as GPUSupportedLimits;
      const device = (vendor: string) => ({ limits, adapter: { ...getDevice().adapter, vendor } });
      const why = (
        t: MatrixTile,
        sizes: { M: number; N: number; K: number; ta?: boolean; tb?: boolean; sums?: boolean },
        vendor = "nvidia",
      ) => matrixRefuses(setup, t, sizes, device(vendor)) ?? "";
      const big = { M: 4096, N: 4096, K: 4096 };
      equal("fits", why(tile(128, 128, 32, 2, 2, "ahead"), big), "");
      const [wide, narrow] = [tile(128, 256, 32, 2, 4, "ahead"), tile(128, 192, 32, 2, 4, "ahead")];
      equal("registers", [registersOf({ ...setup, tile: wide }), registersOf({ ...setup, tile: wide }, true)], [216, 224]);
      const sums = { ...big, ta: true, sums: true };
      for (const [t, vendor, pattern] of [
        [wide, "nvidia", /^$/],
        [wide, "amd", /^its threads take 224 registers, of 216$/],
        [narrow, "amd", /^$/],
      ] as const)
        if (!pattern.test(why(t, sums, vendor))) throw new Error(`with sums: expected ${pattern}, got "${why(t, sums, vendor)}"`);
      // Two slabs of 128 lines of 5 words and of 32 lines of 4 parts of 5 words.
      equal(
        "bytes",
        matrixBytes({
          shape: setup.shape,
          tile: tile(128, 128, 32, 2, 4),
          aAlongK: true,
          bAlongK: false,
          words: true,
          direct: false,
          lanes: 32,
        }),
        2 * 16 * (128 * 5 + 4 * 32 * 5),
      );
      for (const [t, sizes, pattern] of [
        [tile(128, 256, 32, 2, 4, "double"), big, /57344 bytes of workgroup memory, of 49152/],
        [tile(64, 64, 16, 4, 4, "plain"), big, /512 threads, of 256/],
        [tile(128, 128, 16, 2, 2), { ...big, K: 4100 }, /whole 16 bytes/],
        [tile(128, 128, 16, 2, 2), { ...big, N: 4100, tb: false }, /whole 16 bytes/],
      ] as const)
        if (!pattern.test(why(t, sizes))) throw new Error(`refused: expected ${pattern}, got "${why(t, sizes)}"`);
      equal("N along nothing", why(tile(64, 64, 16, 2, 2), { ...big, N: 4100, tb: true }), "");
    },
  },
  {
    name: "gemm.matrix: halves as bits",
    async run() {
      equal(
        "bits",
        [...halfBits([0, -0, 1, -2, 0.5, 65504, 2 ** -14, 2 ** -24, 1023 / 512])],
        [0, 0x8000, 0x3c00, 0xc000, 0x3800, 0x7bff, 0x0400, 0x0001, 0x3ffe],
      );
    },
  },
  {
    name: "gemm.matrix: every form of the language that the adapter takes multiplies rightly",
    needs,
    async run() {
      const { setup: found, tried } = await probeMatrix(true);
      if (!found) throw new Error("probe: expected a setup, got none");
      for (const one of tried.filter(({ lanes }) => lanes === found.lanes)) equal(`${one.syntax} ${one.words}`, one.fault, null);
    },
  },
  {
    name: "gemm.matrix: what is wrong does not pass",
    needs,
    async run() {
      const { setup: found } = await probeMatrix();
      const fault = await matrixFault({ ...found!, shape: { ...found!.shape, M: 24 } }); // which no adapter has
      if (fault === null) throw new Error("fault: expected one, got none");
      // Too many threads for the subgroups that the kernel thinks there are: the product is wrong, not refused.
      const lanes = await matrixFault({ ...found!, lanes: 2 * found!.lanes });
      if (lanes === null) throw new Error("lanes: expected a fault, got none");
    },
  },
  ...products,
  {
    name: "gemm.matrix: in batches, one operand repeated, split along K",
    needs,
    run: () =>
      onMatrices(async () => {
        await checkHalf({
          inputs: [
            [3, 40, 64],
            [3, 64, 48],
          ],
          op: (a, b) => matmul(a, b),
          roundings: 3,
          reference: matmulReference([3, 40, 64], [3, 64, 48]),
        });
        await checkHalf({
          inputs: [
            [2, 3, 40, 64],
            [3, 48, 64],
          ],
          op: (a, b) => matmul(a, b, { transposeB: true }),
          roundings: 3,
          reference: matmulReference([2, 3, 40, 64], [3, 48, 64], { transposeB: true }),
        });
      }),
  },
  {
    name: "gemm.matrix: a layer with bias, GELU and residual, and its gradients",
    needs,
    run: () =>
      onMatrices(async () => {
        const rows = 72,
          I = 64,
          O = 104;
        await holds("kernels", /gemm\.matrix/, () => linear(zeros([rows, I]), zeros([O, I])));
        await checkHalf({
          inputs: [[rows, I], [O, I], [O], [rows, O]],
          wide: [2],
          roundings: 4,
          op: (x, weight, bias, residual) => linear(x, weight, bias, { activation: "gelu", residual }),
          reference: linearReference({ rows, I, O, activation: "gelu" }),
        });
      }),
  },
  {
    name: "gemm.matrix: f16 in, f32 out, sums of f32",
    needs,
    run: () =>
      onMatrices(async () => {
        // 2048 and 1 next to each other: a sum in f16 would lose the ones.
        const K = 1024,
          M = 40,
          N = 48;
        const a = Tensor.from(halfBits(Float64Array.from({ length: M * K }, (_, i) => (i % K === 0 ? 2048 : 1))), [M, K], "f16");
        const b = Tensor.from(halfBits(Float64Array.from({ length: K * N }, () => 1)), [K, N], "f16");
        const y = gemm({ a: { tensor: a }, b: { tensor: b }, M, N, K, shape: [M, N], store: "f32" }).y;
        const found = await y.floats();
        for (const t of [a, b, y]) t.dispose();
        const wrong = found.findIndex((v) => v !== 2048 + K - 1);
        if (wrong >= 0) throw new Error(`y[${wrong}]: expected ${2048 + K - 1}, got ${found[wrong]}`);
      }),
  },
  {
    name: "gemm.matrix: what it can't do falls to the ordinary kernels",
    needs,
    run: () =>
      onMatrices(async () => {
        const ordinary = /^gemm\.(register|subgroup|shared)( gemm\.reduce)?$/;
        await holds("K of 197", ordinary, () => matmul(zeros([64, 197]), zeros([197, 64])));
        await holds("few rows", ordinary, () => matmul(zeros([4, 64]), zeros([64, 64])));
        await holds("f32", ordinary, () => matmul(Tensor.zeros([64, 64]), Tensor.zeros([64, 64])));
        await holds("a variant", /^gemm\.register$/, () => matmul(zeros([64, 64]), zeros([64, 64]), { variant: "register" }));
      }),
  },
  {
    name: "gemm.matrix: stored straight into C",
    needs,
    async run() {
      const { setup: found } = await probeMatrix();
      const { M, N, K } = found!.shape,
        t = tile(2 * M, 2 * N, K, 2, 2);
      const [m, n, k] = [4 * M, 2 * N, 4 * K];
      const A = uniform(m * k, 1).map(toHalf),
        B = uniform(k * n, 2).map(toHalf);
      const a = Tensor.from(halfBits(A), [m, k], "f16"),
        b = Tensor.from(halfBits(B), [k, n], "f16");
      const y = matrixProduct(found!, t, { a, b, M: m, N: n, K: k, direct: true });
      const got = await y.floats(),
        expected = matmulReference([m, k], [k, n])(A, B);
      y.dispose();
      expected.forEach((e, i) => {
        if (Math.abs(got[i]! - e) > 1e-5) throw new Error(`y[${i}]: expected ${e}, got ${got[i]}`);
      });
      await refuses(
        () => matrixProduct(found!, t, { a, b, M: m, N: n, K: k, direct: true, alpha: 2 }),
        /expected whole tiles of f32 with nothing done to them/,
      );
      a.dispose();
      b.dispose();
    },
  },
];
