/** `conv2d.ts`'s backward for weight. */
import { getDevice } from "../../engine/device.ts";
import { defineKernel, kernelFamily } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { range, unroll, unrollLines } from "../shared/unroll.ts";
import { tileOf, type Geometry } from "./direct.ts";
import { rowReader } from "./rows.ts";

/**
 * The backward for weight. A workgroup makes TO x TC channels of one kernel row (of one kernel element if rows are long) over a
 * stripe of the output pixels: each thread adds up its own pixels, TX in a row at a time, and the threads' sums are added at the
 * end, by the subgroup where the workgroup is one. `sumStripes` adds the stripes.
 *
 * The body for x (1, 1, 1, 3), weight (1, 1, 1, 2), stride 1 and no padding:
 *
 *     let g = wid.x / 1u; let o0 = (wid.x % 1u) * 1u; let c0 = (wid.y % 1u) * 1u;
 *     let u = wid.y / 1u; let v0 = (wid.y / 1u) % 1u * 2u;
 *     var a_0 = 0.0; var a_1 = 0.0;
 *     for (var step = 0u; step < p.steps; step++) {
 *       let n = (wid.z * p.steps + step) * WG + li; let t = min(n, p.tiles - 1u);
 *       let tx = t % 1u; let ty = (t / 1u) % 1u; let b = t / 1u;
 *       var first: u32; var x0: i32; var row: i32;
 *       x0 = i32(tx * 2u); row = i32(ty); first = (b * 1u + g) * 2u;
 *       let dy_at0 = u32(row * 2 + x0 + 0) / 2u; let dy_ok0 = (n < p.tiles);
 *       let d0_0 = select(vec2f(), dy[(first + (o0 + 0u) * 2u) / 2u + dy_at0], dy_ok0);
 *       x0 = i32(tx * 2u); row = i32(ty * 1u + u) - 0; first = (b * 1u + g) * 3u;
 *       let x_at0 = u32(row * 3 + x0 + 0) / 1u; let x_ok0 = true;
 *       let x_at1 = u32(row * 3 + x0 + 1) / 1u; let x_ok1 = true;
 *       let x_at2 = u32(row * 3 + x0 + 2) / 1u; let x_ok2 = true;
 *       { let v_0 = select(0.0, x[(first + (c0 + 0u) * 3u) / 1u + x_at0], x_ok0);
 *         let v_1 = select(0.0, x[(first + (c0 + 0u) * 3u) / 1u + x_at1], x_ok1);
 *         let v_2 = select(0.0, x[(first + (c0 + 0u) * 3u) / 1u + x_at2], x_ok2);
 *         a_0 += d0_0.x * v_0 + d0_0.y * v_1; a_1 += d0_0.x * v_1 + d0_0.y * v_2; }
 *     }
 *     lanes[0u + li] = a_0; lanes[33u + li] = a_1;
 *     workgroupBarrier();
 *     for (var k = 0u; k < 1u; k++) {
 *       let a = k * WG + li; let o = o0 + a / 2u; let c = c0 + (a / 2u) % 1u;
 *       if (a < 2u && o < 1u && c < 1u) {
 *         var s = 0.0;
 *         for (var l = 0u; l < WG; l++) { s += lanes[a * 33u + l]; }
 *         dw[(((wid.z * 1u + g) * 1u + o) * 1u + c) * 2u + u * 2u + v0 + a % 2u] = s;
 *       }
 *     }
 */
const tiledKernel = kernelFamily((f: Geometry & { readonly small: boolean; readonly lanes: number | null }) => {
  const { kh, kw, stride, padding, groups, C, O, H, W, Ho, Wo, small, lanes } = f;
  const WG = lanes ?? 32;
  const TV = kw <= 3 ? kw : 1,
    VT = kw / TV;
  const TX = Math.min(Wo, 4);
  const TO = tileOf(O, small && TV > 1 ? 4 : 8),
    TC = tileOf(C, TV === 1 ? 8 : small ? 2 : 4);
  const XT = Math.ceil(Wo / TX),
    OT = Math.ceil(O / TO),
    CT = Math.ceil(C / TC);
  const sums = TO * TC * TV,
    pitch = WG + 1; // an odd pitch spreads over the banks
  const dys = rowReader("dy", { columns: range(TX), H: null, W: Wo, step: TX, tiles: XT });
  const xs = rowReader("x", {
    columns: range(TV).flatMap((v) => range(TX).map((j) => j * stride + v - padding)),
    H: kh === 1 && padding === 0 ? null : H,
    W,
    step: VT === 1 ? TX * stride : null,
    tiles: XT,
  });
  const clamped = (base: string, i: number, n: number, tile: number) =>
    n % tile === 0 ? `${base} + ${i}u` : `min(${base} + ${i}u, ${n - 1}u)`;

  /** Multiplies what was read of dy, in each channel of it, with channel c of x. */
  const multiply = (c: number) => {
    const product = (i: number, v: number) =>
      unroll(TX, (j) => `${dys.value(`d${i}`, j)} * ${xs.value("v", j * stride + v - padding)}`, " + ");
    return `{ ${xs.load("v", "x", `(first + (${clamped("c0", c, C, TC)}) * ${H * W}u)`)}
        ${unrollLines(TO, (i) => unroll(TV, (v) => `a_${(i * TC + c) * TV + v} += ${product(i, v)};`))} }`;
  };

  const target = (o: string, c: string, v: string) =>
    `dw[(((wid.z * ${groups}u + g) * ${O}u + ${o}) * ${C}u + ${c}) * ${kh * kw}u + u * ${kw}u + v0 + ${v}]`;
  /** Adds the threads' sums through shared memory. */
  const acrossThreads = /* wgsl */ `${unroll(sums, (a) => `lanes[${a * pitch}u + li] = a_${a};`)}
    workgroupBarrier();
    for (var k = 0u; k < ${Math.ceil(sums / WG)}u; k++) {
      let a = k * WG + li; let o = o0 + a / ${TC * TV}u; let c = c0 + (a / ${TV}u) % ${TC}u;
      if (a < ${sums}u && o < ${O}u && c < ${C}u) {
        var s = 0.0;
        for (var l = 0u; l < WG; l++) { s += lanes[a * ${pitch}u + l]; }
        ${target("o", "c", `a % ${TV}u`)} = s;
      }
    }`;
  /** Adds them by subgroup operations. */
  const acrossLanes = unrollLines(sums, (a) => {
    const [i, c, v] = [Math.floor(a / (TC * TV)), Math.floor(a / TV) % TC, a % TV];
    const inside = ["li == 0u", O % TO && `o0 + ${i}u < ${O}u`, C % TC && `c0 + ${c}u < ${C}u`].filter(Boolean).join(" && ");
    return `let s_${a} = subgroupAdd(a_${a}); if (${inside}) { ${target(`o0 + ${i}u`, `c0 + ${c}u`, `${v}u`)} = s_${a}; }`;
  });

  const kernel = defineKernel({
    name: "conv2d.backwardWeight",
    inputs: { x: xs.elem, dy: dys.elem }, // (B, groups*C, H, W), (B, groups*O, Ho, Wo)
    outputs: { dw: "f32" }, // (stripes, groups*O, C, kh, kw)
    params: { tiles: "u32", steps: "u32" },
    workgroup: WG,
    needs: lanes === null ? [] : ["subgroups"],
    helpers: lanes === null ? `var<workgroup> lanes: array<f32, ${sums * pitch}>;` : "",
    code: /* wgsl */ `
    let g = wid.x / ${OT}u; let o0 = (wid.x % ${OT}u) * ${TO}u; let c0 = (wid.y % ${CT}u) * ${TC}u;
    let u = wid.y / ${CT * VT}u; let v0 = (wid.y / ${CT}u) % ${VT}u * ${TV}u;
    ${unroll(sums, (a) => `var a_${a} = 0.0;`)}
    for (var step = 0u; step < p.steps; step++) {
      let n = (wid.z * p.steps + step) * WG + li; let t = min(n, p.tiles - 1u);
      let tx = t % ${XT}u; let ty = (t / ${XT}u) % ${Ho}u; let b = t / ${XT * Ho}u;
      var first: u32; var x0: i32; var row: i32;
      x0 = i32(tx * ${TX}u); row = i32(ty); first = (b * ${groups}u + g) * ${O * Ho * Wo}u;
      ${dys.place("(n < p.tiles)")}
      ${unrollLines(TO, (i) => dys.load(`d${i}`, "dy", `(first + (${clamped("o0", i, O, TO)}) * ${Ho * Wo}u)`))}
      x0 = i32(tx * ${TX * stride}u${VT > 1 ? " + v0" : ""}); row = i32(ty * ${stride}u + u) - ${padding}; first = (b * ${groups}u + g) * ${C * H * W}u;
      ${xs.place()}
      ${unrollLines(TC, multiply)}
    }
    ${lanes === null ? acrossThreads : acrossLanes}`,
  });
  return (x: Tensor, dy: Tensor): Tensor => {
    const tiles = x.shape[0]! * Ho * XT;
    const across = groups * OT * CT * kh * VT;
    const stripes = Math.min(Math.ceil(512 / across), Math.ceil(tiles / (4 * WG)));
    const steps = Math.ceil(tiles / (stripes * WG));
    const shape = [groups * O, C, kh, kw];
    const { dw } = kernel({
      inputs: { x, dy },
      outputs: { dw: [stripes, ...shape] },
      params: { tiles, steps },
      groups: [groups * OT, CT * kh * VT, stripes],
    });
    if (stripes === 1) return dw.view(shape);
    const n = dw.size / stripes;
    return sumStripesKernel({ inputs: { parts: dw }, outputs: { y: shape }, params: { n, stripes }, threads: n }).y;
  };
});

/**
 * Processors get small tiles: 96 sums are more registers than they have, and take llvmpipe five seconds to compile instead of one. Their
 * workgroups are a subgroup each, which needs no barrier.
 */
export function weightKernel(f: Geometry): (x: Tensor, dy: Tensor) => Tensor {
  const { adapter, subgroups } = getDevice();
  const lanes = adapter.software && subgroups && subgroups.min === subgroups.max ? subgroups.min : null;
  return tiledKernel({ ...f, small: adapter.software, lanes });
}

// One thread per weight.
const sumStripesKernel = defineKernel({
  name: "conv2d.sumStripes",
  inputs: { parts: "f32" }, // (stripes, n)
  outputs: { y: "f32" }, // (n)
  params: { n: "u32", stripes: "u32" },
  workgroup: 64,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i < p.n) {
      var s = 0.0;
      for (var k = 0u; k < p.stripes; k++) { s += parts[k * p.n + i]; }
      y[i] = s;
    }`,
});
