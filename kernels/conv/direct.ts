/**
 * `conv2d.ts`'s direct kernel: the forward, with a batch norm behind it if wanted, and the backward for x. Without an im2col buffer: a
 * thread owns a tile of neighbouring outputs and sums it in registers.
 */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { activationOf, type Activation } from "../shared/activations.ts";
import { range, unroll, unrollLines } from "../shared/unroll.ts";
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

/** The tile size of which the fewest tiles of at most `most` cover n. */
export const tileOf = (n: number, most: number): number => Math.ceil(n / Math.ceil(n / most));

/** Threads of a workgroup, fewer where there are few tiles: those past the last only repeat it. */
function gatherThreads(tiles: number, software: boolean): number {
  let threads = software ? 8 : 32;
  while (threads < Math.min(tiles, software ? 16 : 64)) threads *= 2;
  return threads;
}

/** Lanes that pass weights around; 1 where each loads its own, as GPUs do it from a cache. Processors load lane by lane. */
function passingLanes(threads: number): number {
  const { adapter, subgroups } = getDevice();
  const lanes = subgroups?.min ?? 1;
  return adapter.software && threads % lanes === 0 ? lanes : 1; // all of a subgroup's lanes must be there
}

/** A batch norm with fixed statistics, (O) each: what follows the sum in the same launch. */
export type Norm = Readonly<Record<"weight" | "bias" | "mean" | "variance", Tensor>>;

interface Gather extends Geometry {
  /** The backward for x. */
  readonly transposed: boolean;
  readonly bias: boolean;
  readonly norm?: { readonly eps: number; readonly activation: Activation };
}

/** Where a pixel of a thread's tile takes a source pixel: with the kernel's element (u, v), from this column of this row. */
interface Tap {
  readonly u: number;
  readonly v: number;
  readonly pixel: string;
  readonly column: number;
}

/** WGSL, see `weightsBy`. */
interface Weights {
  readonly place: string;
  readonly load: string;
  value(i: number, tap: number): string;
}

/** A thread's taps by source row, for TY rows of TX pixels. */
function tapsOf({ kh, kw, stride, padding, transposed }: Gather, TY: number, TX: number): Map<number, Tap[]> {
  const taps = new Map<number, Tap[]>();
  for (const r of range(TY))
    for (const j of range(TX))
      for (const u of range(kh))
        for (const v of range(kw)) {
          const row = transposed ? (r + padding - u) / stride : u - padding;
          const column = transposed ? (j + padding - v) / stride : j * stride + v - padding;
          if (Number.isInteger(row) && Number.isInteger(column))
            taps.set(row, [...(taps.get(row) ?? []), { u, v, pixel: `${r}_${j}`, column }]);
        }
  return taps;
}

/**
 * The forward, or the backward for x (`transposed`). A thread makes TY rows of TX pixels in TM channels: for each kernel row it
 * reads what its pixels need of each channel once, and uses every value TM times or more.
 *
 * The body for x (1, 1, 1, 4), weight (1, 1, 1, 3), stride 1 and no padding:
 *
 *     let t = min(wid.x * WG + li, p.tiles - 1u);
 *     let tx = t % 1u; let ty = (t / 1u) % 1u; let b = t / 1u;
 *     let g = wid.y / 1u; let m0 = (wid.y % 1u) * 1u;
 *     let x0 = i32(tx * 0u);
 *     let first = (b * 1u + g) * 4u;
 *     let wg = g * 3u;
 *     let w_0 = wg + (m0 + 0u) * 3u;
 *     var a_0_0_0 = 0.0; var a_0_0_1 = 0.0;
 *     { let u = 0u;
 *       let row = i32(ty * 1u) + i32(u) - 0;
 *       let x_at0 = u32(row * 4 + x0 + 0) / 4u; let x_ok0 = true;
 *       for (var c = 0u; c < 1u; c++) {
 *         let v_0 = select(vec4f(), x[(first + c * 4u) / 4u + x_at0], x_ok0);
 *         let wc = c * 3u + u * 3u;
 *         { let w = weight[w_0 + wc + 0u]; a_0_0_0 += w * v_0.x; a_0_0_1 += w * v_0.y; }
 *         { let w = weight[w_0 + wc + 1u]; a_0_0_0 += w * v_0.y; a_0_0_1 += w * v_0.z; }
 *         { let w = weight[w_0 + wc + 2u]; a_0_0_0 += w * v_0.z; a_0_0_1 += w * v_0.w; }
 *     } }
 *     if (wid.x * WG + li >= p.tiles) { return; }
 *     let to = ((b * 1u + g) * 1u + m0) * 2u + ty * 2u + tx * 2u;
 *     if (true) { y[to + 0u] = a_0_0_0; }
 *     if (true) { y[to + 1u] = a_0_0_1; }
 */
const tiledKernel = kernelFamily((f: Gather & { readonly software: boolean }) => {
  const { kh, kw, stride, padding, groups, transposed, norm, software } = f;
  const activation = norm?.activation ?? "none";
  const [source, target] = transposed ? [{ H: f.Ho, W: f.Wo }, f] : [f, { H: f.Ho, W: f.Wo }];
  const [K, M] = transposed ? [f.O, f.C] : [f.C, f.O]; // channels of a group that are summed over, and made
  const TX = Math.min(target.W, kw > 1 && kw < 8 && target.W >= 8 ? 8 : 4);
  const TY = transposed ? stride : 1;
  // Processors load lane by lane, which costs more than sums that do not fit their registers.
  const TM = tileOf(M, kw >= 8 || (TX > 4 && !(software && TY === 1)) ? 4 : 8);
  const XT = Math.ceil(target.W / TX),
    YT = Math.ceil(target.H / TY),
    MT = Math.ceil(M / TM);
  const [sourceSize, targetSize] = [source.H * source.W, target.H * target.W];
  const step = XT === 1 ? 0 : transposed ? TX / stride : TX * stride;
  const pixels = range(TY).flatMap((r) => range(TX).map((j) => ({ r, j, id: `${r}_${j}` })));
  const channel = (i: number) => (M % TM === 0 ? `m0 + ${i}u` : `min(m0 + ${i}u, ${M - 1}u)`);
  const [weightOfChannel, weightOfC] = transposed ? [kh * kw, M * kh * kw] : [K * kh * kw, kh * kw];

  // If every kernel row reads its source row alike, they are one loop over u; otherwise (strided backward) one block each.
  const alike = !transposed || stride === 1;
  const taps = [...tapsOf(f, TY, TX)].slice(0, alike ? 1 : undefined);
  const readers = taps.map(([, list]) => {
    const columns = list.map((t) => t.column);
    return rowReader("x", { columns, W: source.W, H: kh === 1 && padding === 0 ? null : source.H, step, tiles: XT });
  });

  /** How a thread comes by the weights of its channels: where they are, its loads for an input channel, and one weight. */
  const weightsBy = (lanes: number): Weights => {
    if (lanes === 1)
      return {
        place: unrollLines(TM, (i) => `let w_${i} = wg + (${channel(i)}) * ${weightOfChannel}u;`),
        load: "",
        value: (i, tap) => `weight[w_${i} + wc + ${tap}u]`,
      };
    // Each lane has one of the TM * kw of a kernel row, or several.
    const loads = Math.ceil((TM * kw) / lanes);
    const own = (r: number) => `min(subgroup_lane % ${lanes}u + ${r * lanes}u, ${TM * kw - 1}u)`;
    return {
      place: unrollLines(
        loads,
        (r) => `let w_${r} = wg + min(m0 + ${own(r)} / ${kw}u, ${M - 1}u) * ${weightOfChannel}u + ${own(r)} % ${kw}u;`,
      ),
      load: unroll(loads, (r) => ` let few_${r} = weight[w_${r} + wc];`),
      value: (i, v) => `subgroupBroadcast(few_${Math.floor((i * kw + v) / lanes)}, ${(i * kw + v) % lanes}u)`,
    };
  };

  /** Adds up what one source row gives, or each of a loop's. */
  const addRow = ([row, list]: readonly [number, readonly Tap[]], n: number, weights: Weights): string => {
    const reader = readers[n]!;
    const offset = !alike ? row : transposed ? `${padding} - i32(u)` : `i32(u) - ${padding}`;
    const tapOf = (t: Tap) => (alike ? 0 : t.u * kw) + t.v;
    const multiply = (i: number) =>
      [...new Set(list.map(tapOf))]
        .map((tap) => {
          const products = list.filter((t) => tapOf(t) === tap).map((t) => `a_${i}_${t.pixel} += w * ${reader.value("v", t.column)};`);
          return `{ let w = ${weights.value(i, tap)}; ${products.join(" ")} }`;
        })
        .join("\n      ");
    return /* wgsl */ `
    ${alike && kh > 1 ? `for (var u = 0u; u < ${kh}u; u++) {` : alike ? "{ let u = 0u;" : "{"}
    let row = i32(ty * ${transposed ? 1 : stride}u) + ${offset};
    ${reader.place()}
    for (var c = 0u; c < ${K}u; c++) {
      ${reader.load("v", "x", `(first + c * ${sourceSize}u)`)}
      let wc = c * ${weightOfC}u${alike ? ` + u * ${kw}u` : ""};${weights.load}
      ${unrollLines(TM, multiply)}
    } }`;
  };

  const start = (i: number) => (f.bias ? `bias[g * ${M}u + ${channel(i)}]` : "0.0");
  const normOf = (i: number) =>
    `let n_${i} = g * ${M}u + ${channel(i)}; let s_${i} = inverseSqrt(variance[n_${i}] + ${norm?.eps}) * norm_weight[n_${i}];`;
  const store = (i: number) =>
    pixels
      .map(({ r, j, id }) => {
        const inside = [
          M % TM && `(m0 + ${i}u < ${M}u)`,
          target.H % TY && `(ty * ${TY}u + ${r}u < ${target.H}u)`,
          target.W % TX && `(tx * ${TX}u + ${j}u < ${target.W}u)`,
        ].filter(Boolean);
        const value = norm ? `(a_${i}_${id} - mean[n_${i}]) * s_${i} + norm_bias[n_${i}]` : `a_${i}_${id}`;
        const done = activation === "none" ? value : `${activation}(${value})`;
        return `if (${inside.join(" & ") || "true"}) { y[to + ${i * targetSize + r * target.W + j}u] = ${done}; }`;
      })
      .join("\n      ");

  const ofThreads = kernelFamily(({ threads, lanes }: { threads: number; lanes: number }) => {
    const weights = weightsBy(lanes);
    return defineKernel({
      name: transposed ? "conv2d.backwardInput" : "conv2d.forward",
      // x or dy (B, groups*K, H, W), (O, C, kh, kw), (O) each
      inputs: { x: readers[0]!.elem, weight: "f32", bias: "f32?", norm_weight: "f32?", norm_bias: "f32?", mean: "f32?", variance: "f32?" },
      outputs: { y: "f32" }, // y or dx (B, groups*M, H, W)
      params: { tiles: "u32" },
      workgroup: threads,
      needs: lanes > 1 ? ["subgroups"] : [],
      helpers: activationOf(activation, "f32"),
      code: /* wgsl */ `
    let t = min(wid.x * WG + li, p.tiles - 1u);
    let tx = t % ${XT}u; let ty = (t / ${XT}u) % ${YT}u; let b = t / ${XT * YT}u;
    let g = wid.y / ${MT}u; let m0 = (wid.y % ${MT}u) * ${TM}u;
    let x0 = i32(tx * ${step}u);
    let first = (b * ${groups}u + g) * ${K * sourceSize}u;
    let wg = g * ${K * M * kh * kw}u;
    ${weights.place}
    ${unrollLines(TM, (i) => pixels.map(({ id }) => `var a_${i}_${id} = ${start(i)};`).join(" "))}
    ${taps.map((tap, n) => addRow(tap, n, weights)).join("")}
    if (wid.x * WG + li >= p.tiles) { return; }
    let to = ((b * ${groups}u + g) * ${M}u + m0) * ${targetSize}u + ty * ${TY * target.W}u + tx * ${TX}u;
    ${norm ? unrollLines(TM, normOf) : ""}
    ${unrollLines(TM, store)}`,
    });
  });
  return (x: Tensor, weight: Tensor, bias: Tensor | null, fixed?: Norm): Tensor => {
    const B = x.shape[0]!;
    const tiles = B * XT * YT,
      threads = gatherThreads(tiles, software);
    return ofThreads({ threads, lanes: alike ? passingLanes(threads) : 1 })({
      inputs: { x, weight, bias, norm_weight: fixed?.weight, norm_bias: fixed?.bias, mean: fixed?.mean, variance: fixed?.variance },
      outputs: { y: { shape: [B, groups * M, target.H, target.W], dtype: x.dtype } },
      params: { tiles },
      groups: [Math.ceil(tiles / threads), groups * MT],
    }).y;
  };
});

/** The forward, or the backward for x, with the tiles of the current adapter. */
export const gatherKernel = (f: Gather) => tiledKernel({ ...f, software: getDevice().adapter.software });
