/**
 * Products on tensor cores, by Dawn's experimental subgroup matrices: C (f32 or f16) = A B of f16 operands, summed in f32 (Metal: f32
 * operands). Off until `useSubgroupMatrix()` turns it on for the device, which it does only after a small product came out right.
 */
import { adapterName, getDevice, type Device } from "../../engine/device.ts";
import { SUBGROUP_MATRIX } from "../../engine/wgsl.ts";
import { record } from "../../engine/plan.ts";
import type { Shape } from "../../engine/shape.ts";
import { readAll, Tensor, type DType } from "../../engine/tensor.ts";
import type { Activation } from "../shared/activations.ts";
import { NO_SLOTS, type Slots } from "./config.ts";
import { setMatrixChoice } from "./matrix-use.ts";
import { chooseMatrix, tileRefuses } from "./matrix-choose.ts";
import { matrixKernel } from "./matrix-kernel.ts";
import {
  matrixTile,
  wordOf,
  type MatrixConfig,
  type MatrixSetup,
  type MatrixShape,
  type MatrixSyntax,
  type MatrixTile,
} from "./matrix-tile.ts";

export type { MatrixSetup };

export interface SubgroupMatrix {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/**
 * Turns products on tensor cores on or off for the current device. Stays off unless the device was opened with the experimental
 * feature and a small product comes out exactly right; then `reason` says why, and the ordinary kernels run. Dawn in Node offers
 * the feature with `enable-dawn-features=allow_unsafe_apis,use_vulkan_memory_model` (NVIDIA: and `vulkan_enable_f16_on_nvidia`), Chrome
 * with chrome://flags/#enable-unsafe-webgpu. Plans recorded before keep their kernels.
 */
export async function useSubgroupMatrix(on = true): Promise<{ readonly on: boolean; readonly reason: string | null }> {
  setMatrixChoice(null);
  if (!on) return { on: false, reason: null };
  const { setup, reason } = await probeMatrix();
  if (setup) setMatrixChoice((g, d) => chooseMatrix(setup, g, d));
  return { on: setup !== null, reason };
}

/**
 * Matrix shapes that the adapter's subgroups multiply, (M, K) by (K, N), with WGSL's type names; empty without the experimental feature.
 */
export function matricesOf({ features, info }: Device): SubgroupMatrix[] {
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrix> };
  if (!features.has(SUBGROUP_MATRIX)) return [];
  return Array.from(subgroupMatrixConfigs, ({ componentType, resultComponentType, M, N, K }) => ({
    componentType,
    resultComponentType,
    M,
    N,
    K,
  }));
}

/** The matrices of f16 or f32 that a device sums in f32, largest first. */
export function matrixShapes(device: Device = getDevice()): MatrixShape[] {
  return matricesOf(device)
    .filter(
      (c) =>
        c.resultComponentType === "f32" && (c.componentType === "f32" || (c.componentType === "f16" && device.features.has("shader-f16"))),
    )
    .map(({ M, N, K, componentType }): MatrixShape => ({ M, N, K, input: componentType as "f16" | "f32" }))
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
}

/**
 * Threads per subgroup, from the least: all sizes that a kernel may choose, or the adapter's one. AMD multiplies matrices in its smaller
 * subgroups, Intel in one between its smallest and its largest. Empty if the size is open and a kernel may not choose.
 */
export function matrixLanes({ subgroups, features }: Pick<Device, "subgroups" | "features">): { lanes: number; sized: boolean }[] {
  if (!subgroups) return [];
  const { min, max } = subgroups;
  if (min === max) return [{ lanes: min, sized: false }];
  if (!features.has("subgroup-size-control")) return [];
  return Array.from({ length: Math.log2(max / min) + 1 }, (_, i) => ({ lanes: min * 2 ** i, sized: true }));
}

export interface MatrixProduct {
  readonly a: Tensor;
  readonly b: Tensor;
  /** Stored the other way round: a as (K, M), b as (N, K). */
  readonly ta?: boolean;
  readonly tb?: boolean;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly store?: DType;
  readonly alpha?: number;
  readonly bias?: Tensor;
  readonly activation?: Activation;
  readonly residual?: Tensor;
  /** The sums of op(A) along K too; of a transposed A. */
  readonly sums?: boolean;
  /** Matrices are stored straight into C. */
  readonly direct?: boolean;
}

/** Why a tile cannot make this product on this device, or null. */
export function matrixRefuses(
  setup: MatrixSetup,
  t: MatrixTile,
  { ta = false, tb = false, M, N, K, direct = false, sums = false }: Omit<MatrixProduct, "a" | "b">,
  device: Pick<Device, "limits" | "adapter">,
): string | null {
  const word = wordOf(setup.shape);
  const whole = [ta ? M : K, tb ? K : N].every((n) => n % word === 0) && N % 4 === 0;
  return tileRefuses(setup, t, { aAlongK: !ta, bAlongK: tb, sums, direct }, device) ?? (whole ? null : "rows are no whole 16 bytes");
}

/** One product by one tile; for measuring and for checks. */
export const matrixProduct = (setup: MatrixSetup, t: MatrixTile, product: MatrixProduct): Tensor => matrixSums(setup, t, product).y;

/** The same with `sums`, where they were asked for. */
export function matrixSums(
  setup: MatrixSetup,
  t: MatrixTile,
  product: MatrixProduct,
): { readonly y: Tensor; readonly sums: Tensor | null } {
  const {
    a,
    b,
    ta = false,
    tb = false,
    M,
    N,
    K,
    store = "f32",
    alpha = 1,
    bias,
    activation = "none",
    residual,
    sums = false,
    direct = false,
  } = product;
  const refuses = matrixRefuses(setup, t, product, getDevice());
  if (refuses) throw new Error(`gemm.matrix: ${refuses}`);
  const slots: Slots = { ...NO_SLOTS, bias: bias ? "n" : null, activation, residual: !!residual, sums };
  const edge = M % t.bm !== 0 || N % t.bn !== 0;
  if (direct && (edge || bias || activation !== "none" || residual || alpha !== 1 || store !== "f32"))
    throw new Error("gemm.matrix: expected whole tiles of f32 with nothing done to them, for they are stored directly");
  const config: MatrixConfig = { ...setup, tile: t, aAlongK: !ta, bAlongK: tb, rank: 0, edge, tail: K % t.bk !== 0, direct, slots };
  const [tilesM, tilesN] = [Math.ceil(M / t.bm), Math.ceil(N / t.bn)];
  const shape: Shape = [M, N];
  return matrixKernel(config)({
    inputs: { a, b, bias, residual },
    updates: {},
    outputs: { y: { shape, dtype: store }, sums: sums ? [M] : null },
    params: {
      M,
      N,
      K,
      a_rows: M,
      b_rows: N,
      lda: ta ? M : K,
      ldb: tb ? K : N,
      ldc: N,
      a_offset: 0,
      b_offset: 0,
      tiles_m: tilesM,
      tiles_n: tilesN,
      chunk: K,
      slab: 0,
      alpha,
    },
    groups: tilesM * tilesN,
  });
}

/** Each value as the bits of the nearest f16; values must be in f16's range. */
export function halfBits(values: ArrayLike<number>): Uint16Array {
  return Uint16Array.from(values, (v) => {
    const sign = v < 0 || Object.is(v, -0) ? 0x8000 : 0,
      x = Math.abs(v);
    if (x === 0) return sign;
    const e = Math.max(-14, Math.floor(Math.log2(x)));
    const mantissa = Math.round(x / 2 ** (e - 10)); // 1024 to 2048, below it where subnormal
    return sign | (((e + 14) << 10) + mantissa);
  });
}

const SYNTAXES: readonly { readonly syntax: MatrixSyntax; readonly words: boolean }[] = [
  { syntax: "majorness", words: true },
  { syntax: "majorness", words: false },
  { syntax: "boolean", words: false },
];

/**
 * Multiplies 2 x 2 matrices along each axis, transposed and not, and says what is wrong with the result, if anything. Whole numbers: no
 * rounding.
 */
export async function matrixFault(setup: MatrixSetup): Promise<string | null> {
  const {
    shape: { M, N, K, input },
  } = setup;
  const word = wordOf(setup.shape);
  const t = matrixTile(2 * M, 2 * N, 2 * K, 2, 2, "plain");
  const [m, n, k] = [4 * M - word, 4 * N - word, 6 * K - word]; // edges and a tail too
  const value = (i: number, by: number) => ((i * by) % 17) - 8;
  for (const [ta, tb] of [
    [false, false],
    [false, true],
    [true, false],
  ] as const) {
    const A = Float64Array.from({ length: m * k }, (_, i) => value(i, 7)),
      B = Float64Array.from({ length: k * n }, (_, i) => value(i, 5));
    const [a, b] = [A, B].map((v) => Tensor.from(input === "f16" ? halfBits(v) : v, [v.length], input)) as [Tensor, Tensor];
    try {
      const plan = await record(() => matrixProduct(setup, t, { a, b, ta, tb, M: m, N: n, K: k }), { label: "gemm.matrix" });
      plan.run();
      const [y] = (await readAll([plan.result])) as [Float32Array];
      plan.dispose();
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let q = 0; q < k; q++) sum += A[ta ? q * m + i : i * k + q]! * B[tb ? j * k + q : q * n + j]!;
          if (y[i * n + j] !== sum)
            return `${m}x${n}x${k} ${ta ? "T" : "N"}${tb ? "T" : "N"}: expected ${sum} at (${i}, ${j}), got ${y[i * n + j]}`;
        }
    } catch (error) {
      return (error as Error).message.split("\n").slice(0, 2).join(" | ");
    } finally {
      a.dispose();
      b.dispose();
    }
  }
  return null;
}

export interface Probed {
  readonly setup: MatrixSetup | null;
  /** Each combination tried, and its fault. */
  readonly tried: readonly {
    readonly shape: MatrixShape;
    readonly syntax: MatrixSyntax;
    readonly words: boolean;
    readonly lanes: number;
    readonly fault: string | null;
  }[];
  /** Why there is no setup. */
  readonly reason: string | null;
}

/** Tries the device's matrices, its sizes of subgroups and the language's forms until a product is right; `all` tries each. */
export async function probeMatrix(all = false): Promise<Probed> {
  const device = getDevice();
  if (!device.features.has(SUBGROUP_MATRIX)) return { setup: null, tried: [], reason: `the device lacks ${SUBGROUP_MATRIX}` };
  const sizes = matrixLanes(device);
  if (sizes.length === 0)
    return { setup: null, tried: [], reason: "the size of its subgroups is open, and the device lacks subgroup-size-control" };
  const shapes = matrixShapes(device);
  if (shapes.length === 0) return { setup: null, tried: [], reason: "none of its matrices is of floats summed in f32" };
  const tried: Probed["tried"][number][] = [];
  let setup: MatrixSetup | null = null;
  for (const shape of shapes) {
    for (const size of sizes)
      for (const form of SYNTAXES) {
        if (form.syntax === "boolean" && setup?.syntax === "majorness") continue; // the form of before
        const one: MatrixSetup = { shape, ...form, ...size };
        const fault = await matrixFault(one);
        tried.push({ shape, ...form, lanes: size.lanes, fault });
        if (!fault) setup ??= one;
        if (setup && !all) return { setup, tried, reason: null };
      }
  }
  return {
    setup,
    tried,
    reason: setup
      ? null
      : `${adapterName(device.adapter)} promises subgroup matrices and computes wrongly: ${tried.map((t) => `${t.shape.M}x${t.shape.N}x${t.shape.K} ${t.syntax}, subgroups of ${t.lanes}: ${t.fault}`).join("; ")}`,
  };
}
