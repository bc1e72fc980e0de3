/**
 * `conv2d.ts`'s direct kernel: the forward, with a batch norm behind it if wanted, and the backward for x. Without an im2col buffer: a
 * thread owns a tile of neighbouring outputs and sums it in registers.
 */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { rowReader } from "./rows.ts";

export interface Geometry {
  readonly H: number;
  readonly W: number;
  readonly Ho: number;
  readonly Wo: number;
  readonly kh: number;
  readonly kw: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
  /** Channels per group of x, and of y. */
  readonly C: number;
  readonly O: number;
}

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** The tile size of which the fewest tiles of at most `most` cover n. */
export const tileOf = (n: number, most: number): number => Math.ceil(n / Math.ceil(n / most));

/** Threads of a workgroup, fewer where there are few tiles: those past the last only repeat it. */
function gatherThreads(tiles: number): number {
  let threads = getDevice().adapter.software ? 8 : 32;
  while (threads < Math.min(tiles, 64)) threads *= 2;
  return threads;
}

/** A batch norm with fixed statistics, (O) each: what follows the sum in the same launch. */
export type Norm = Readonly<Record<"gain" | "shift" | "mean" | "variance", Tensor>>;
const NORM_INPUTS = { gain: "f32", shift: "f32", mean: "f32", variance: "f32" } as const;

/**
 * The forward, or the backward for x (`transposed`). A thread makes TY rows of TX pixels in TM channels: for each kernel row it
 * reads what its pixels need of each channel once, and uses every value TM times or more.
 */
export const gatherKernel = kernelFamily(
  (
    f: Geometry & {
      readonly transposed: boolean;
      readonly bias: boolean;
      readonly norm?: { readonly eps: number; readonly relu: boolean };
    },
  ) => {
    const { kh, kw, stride, padding, groups, transposed } = f;
    const [source, target] = transposed ? [{ H: f.Ho, W: f.Wo }, f] : [f, { H: f.Ho, W: f.Wo }];
    const [K, M] = transposed ? [f.O, f.C] : [f.C, f.O]; // channels of a group that are summed over, and made
    const TX = Math.min(target.W, kw > 1 && kw < 8 && target.W >= 8 ? 8 : 4);
    const TM = tileOf(M, TX > 4 || kw >= 8 ? 4 : 8);
    const TY = transposed ? stride : 1;
    const XT = Math.ceil(target.W / TX),
      YT = Math.ceil(target.H / TY),
      MT = Math.ceil(M / TM);

    // Which source column each pixel takes with which kernel column, by source row.
    const taps = new Map<number, { u: number; v: number; pixel: string; column: number }[]>();
    for (const r of range(TY))
      for (const j of range(TX))
        for (const u of range(kh))
          for (const v of range(kw)) {
            const row = transposed ? (r + padding - u) / stride : u - padding;
            const column = transposed ? (j + padding - v) / stride : j * stride + v - padding;
            if (Number.isInteger(row) && Number.isInteger(column))
              taps.set(row, [...(taps.get(row) ?? []), { u, v, pixel: `${r}_${j}`, column }]);
          }
    // If every kernel row reads its source row alike, they are one loop over u; otherwise (strided backward) one block each.
    const alike = !transposed || stride === 1;
    const step = XT === 1 ? 0 : transposed ? TX / stride : TX * stride;
    const rows = (alike ? [...taps].slice(0, 1) : [...taps]).map(([row, list]) => ({
      row,
      list,
      reader: rowReader("x", {
        columns: list.map((t) => t.column),
        W: source.W,
        H: kh === 1 && padding === 0 ? null : source.H,
        step,
        tiles: XT,
      }),
    }));
    const elem = rows[0]!.reader.elem;
    const pixels = range(TY).flatMap((r) => range(TX).map((j) => ({ r, j, id: `${r}_${j}` })));
    const channel = (i: number) => (M % TM === 0 ? `m0 + ${i}u` : `min(m0 + ${i}u, ${M - 1}u)`);
    const [weightOfChannel, weightOfC] = transposed ? [kh * kw, M * kh * kw] : [K * kh * kw, kh * kw];

    const ofThreads = kernelFamily(({ threads }: { threads: number }) =>
      defineKernel({
        name: transposed ? "conv2d.backwardInput" : "conv2d.forward",
        inputs: { x: elem, weight: "f32", ...(f.bias ? { bias: "f32" as const } : {}), ...(f.norm ? NORM_INPUTS : {}) }, // x or dy (B, groups*K, H, W), (O, C, kh, kw), (O)
        outputs: { y: "f32" }, // y or dx (B, groups*M, H, W)
        params: { tiles: "u32" },
        workgroup: threads,
        code: [
          `let t = min(wid.x * WG + li, p.tiles - 1u);`,
          `let tx = t % ${XT}u; let ty = (t / ${XT}u) % ${YT}u; let b = t / ${XT * YT}u;`,
          `let g = wid.y / ${MT}u; let m0 = (wid.y % ${MT}u) * ${TM}u;`,
          `let x0 = i32(tx * ${step}u);`,
          `let first = (b * ${groups}u + g) * ${K * source.H * source.W}u;`,
          `let wg = g * ${K * M * kh * kw}u;`,
          ...range(TM).flatMap((i) => [
            `let w_${i} = wg + (${channel(i)}) * ${weightOfChannel}u;`,
            ...pixels.map(({ id }) => `var a_${i}_${id} = ${f.bias ? `bias[g * ${M}u + ${channel(i)}]` : "0.0"};`),
          ]),
          ...rows.flatMap(({ row, list, reader }) => [
            alike && kh > 1 ? `for (var u = 0u; u < ${kh}u; u++) {` : "{",
            ...(alike && kh === 1 ? ["let u = 0u;"] : []),
            `let row = i32(ty * ${transposed ? 1 : stride}u) + ${!alike ? row : transposed ? `${padding} - i32(u)` : `i32(u) - ${padding}`};`,
            ...reader.place(),
            `for (var c = 0u; c < ${K}u; c++) {`,
            ...reader.load("v", "x", `(first + c * ${source.H * source.W}u)`),
            `let wc = c * ${weightOfC}u${alike ? ` + u * ${kw}u` : ""};`,
            ...range(TM).flatMap((i) =>
              [...new Set(list.map((t) => (alike ? 0 : t.u * kw) + t.v))].flatMap((tap) => [
                `{ let w = weight[w_${i} + wc + ${tap}u];`,
                ...list
                  .filter((t) => (alike ? 0 : t.u * kw) + t.v === tap)
                  .map((t) => `a_${i}_${t.pixel} += w * ${reader.value("v", t.column)};`),
                "}",
              ]),
            ),
            "} }",
          ]),
          `if (wid.x * WG + li >= p.tiles) { return; }`,
          `let to = ((b * ${groups}u + g) * ${M}u + m0) * ${target.H * target.W}u + ty * ${TY * target.W}u + tx * ${TX}u;`,
          ...(f.norm
            ? range(TM).map(
                (i) =>
                  `let n_${i} = g * ${M}u + ${channel(i)}; let s_${i} = inverseSqrt(variance[n_${i}] + ${f.norm!.eps}) * gain[n_${i}];`,
              )
            : []),
          ...range(TM).flatMap((i) =>
            pixels.map(({ r, j, id }) => {
              const inside =
                [
                  ...(M % TM ? [`(m0 + ${i}u < ${M}u)`] : []),
                  ...(target.H % TY ? [`(ty * ${TY}u + ${r}u < ${target.H}u)`] : []),
                  ...(target.W % TX ? [`(tx * ${TX}u + ${j}u < ${target.W}u)`] : []),
                ].join(" & ") || "true";
              const value = f.norm ? `(a_${i}_${id} - mean[n_${i}]) * s_${i} + shift[n_${i}]` : `a_${i}_${id}`;
              return `if (${inside}) { y[to + ${i * target.H * target.W + r * target.W + j}u] = ${f.norm?.relu ? `max(${value}, 0.0)` : value}; }`;
            }),
          ),
        ].join("\n"),
      }),
    );
    return (x: Tensor, weight: Tensor, bias: Tensor | null, norm?: Norm): Tensor => {
      const B = x.shape[0]!;
      const tiles = B * XT * YT,
        threads = gatherThreads(tiles);
      return ofThreads({ threads })({
        inputs: { x, weight, ...(bias ? { bias } : {}), ...norm } as never,
        outputs: { y: { shape: [B, groups * M, target.H, target.W], dtype: x.dtype } },
        params: { tiles },
        groups: [Math.ceil(tiles / threads), groups * MT],
      }).y;
    };
  },
);
