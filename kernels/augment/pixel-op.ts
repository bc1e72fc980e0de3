/**
 * One operation per image of a batch, all in one launch: each image's record names its operation and arguments.
 *
 * Operations on bytes, and blends, are Pillow's to the bit. A blend is d + a (v - d), both steps rounded to f32; the product is rounded
 * with integers here, because WGSL may fuse a product and a sum. Affine maps interpolate bicubically (a = -1) in f32 where Pillow has f64;
 * the source's position is exact to about 2^-24 pixels, being summed from two parts.
 * https://pillow.readthedocs.io/en/stable/reference/ImageOps.html; Cubuk et al. 2019, https://arxiv.org/abs/1909.13719
 */
import { defineKernel } from "../../engine/kernel.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { checkSlot, CODES, pixelWgsl, WORDS, type Slot } from "./records.ts";

const WG = 64;

// One thread per pixel.
const kernel = defineKernel({
  name: "augmentOp",
  inputs: { x: "u32", records: "u32", tables: "u32" }, // (B, H, W), (B, slots, WORDS), (B, 257) or any
  outputs: { y: "u32" }, // (B, H, W)
  params: { n: "u32", height: "u32", width: "u32", slots: "u32", slot: "u32", fill: "u32" },
  workgroup: WG,
  helpers: /* wgsl */ `${pixelWgsl}fn f(at: u32) -> f32 { return bitcast<f32>(records[at]); }

// round(mantissa * |v - d|) to 24 bits, halves to even, times a power of two, on top of d.
fn blend(d: vec3u, v: vec3u, r: u32) -> vec3u {
  let product = records[r + 1u] * (max(d, v) - min(d, v));
  let bits = vec3u(32u) - countLeadingZeros(product);
  let drop = max(bits, vec3u(24u)) - vec3u(24u);
  let kept = product >> drop;
  let rest = product - (kept << drop);
  let half = (vec3u(1u) << drop) >> vec3u(1u);
  let up = (drop > vec3u(0u)) & ((rest > half) | ((rest == half) & ((kept & vec3u(1u)) == vec3u(1u))));
  let rounded = vec3f((kept + select(vec3u(0u), vec3u(1u), up)) << drop) * f(r + 2u);
  return vec3u(clamp(vec3f(d) + select(rounded, -rounded, v < d), vec3f(0.0), vec3f(255.0)));
}

fn cubic(a: vec3f, b: vec3f, c: vec3f, d: vec3f, t: f32) -> vec3f {
  return b + t * (c - a + t * (2.0 * (a - b) + c - d + t * (b - a + d - c)));
}

fn affine(first: u32, at: vec2f, r: u32) -> u32 {
  let whole = vec2f(f(r + 1u), f(r + 4u)) * at.x + vec2f(f(r + 2u), f(r + 5u)) * at.y + vec2f(f(r + 3u), f(r + 6u));
  let rest = vec2f(f(r + 7u), f(r + 10u)) * at.x + vec2f(f(r + 8u), f(r + 11u)) * at.y + vec2f(f(r + 9u), f(r + 12u));
  var low = floor(whole);
  var t = whole - low + rest;
  let carry = floor(t);
  low += carry;
  t -= carry;
  let last = vec2f(f32(p.width), f32(p.height)) - 1.0;
  let over = whole - low - 0.5 + rest; // t - 0.5, but with the sign of what is too small for t
  let inside = ((low > vec2f(-1.0)) | ((low == vec2f(-1.0)) & (over >= vec2f(0.0)))) & ((low < last) | ((low == last) & (over < vec2f(0.0))));
  if (!all(inside)) { return p.fill; }
  let start = vec2i(low) - 1;
  var rows: array<vec3f, 4>;
  for (var k = 0; k < 4; k++) {
    let row = first + u32(clamp(start.y + k, 0, i32(p.height) - 1)) * p.width;
    let columns = vec4u(clamp(start.x + vec4i(0, 1, 2, 3), vec4i(0), vec4i(i32(p.width) - 1))) + row;
    rows[k] = cubic(vec3f(unpack(x[columns.x])), vec3f(unpack(x[columns.y])), vec3f(unpack(x[columns.z])), vec3f(unpack(x[columns.w])), t.x);
  }
  return pack(vec3u(clamp(cubic(rows[0], rows[1], rows[2], rows[3], t.y), vec3f(0.0), vec3f(255.0))));
}`,
  code: /* wgsl */ `
    let i = group * WG + li;
    if (i >= p.n) { return; }
    let area = p.height * p.width;
    let b = i / area;
    let r = (b * p.slots + p.slot) * ${WORDS}u;
    let row = i % area / p.width;
    let column = i % p.width;
    let v = unpack(x[i]);
    var out = v;
    switch (records[r]) {
      case ${CODES.autoContrast}u, ${CODES.equalize}u: {
        let t = 257u * b;
        out = vec3u(tables[t + v.x] & 0xffu, (tables[t + v.y] >> 8u) & 0xffu, tables[t + v.z] >> 16u);
      }
      case ${CODES.invert}u: { out = vec3u(255u) - v; }
      case ${CODES.posterize}u: { out = v & vec3u((0xff00u >> records[r + 1u]) & 0xffu); }
      case ${CODES.solarize}u: { out = select(vec3u(255u) - v, v, v < vec3u(records[r + 1u])); }
      case ${CODES.solarizeAdd}u: { out = select(v, min(vec3u(255u), v + records[r + 1u]), v < vec3u(128u)); }
      case ${CODES.color}u: { out = blend(vec3u((19595u * v.x + 38470u * v.y + 7471u * v.z + 32768u) >> 16u), v, r); }
      case ${CODES.contrast}u: { out = blend(vec3u(tables[257u * b + 256u]), v, r); }
      case ${CODES.brightness}u: { out = blend(vec3u(0u), v, r); }
      case ${CODES.sharpness}u: {
        if (row > 0u && column > 0u && row + 1u < p.height && column + 1u < p.width) {
          var sum = 4u * v;
          for (var k = 0u; k < 3u; k++) {
            let at = i + k * p.width - p.width;
            sum += unpack(x[at - 1u]) + unpack(x[at]) + unpack(x[at + 1u]);
          }
          out = blend((2u * sum + 13u) / 26u, v, r);
        }
      }
      case ${CODES.turn}u: {
        let m = r + 1u;
        let at = vec2i(i32(column), i32(row));
        let source = vec2i(bitcast<i32>(records[m]), bitcast<i32>(records[m + 3u])) * at.x
          + vec2i(bitcast<i32>(records[m + 1u]), bitcast<i32>(records[m + 4u])) * at.y + vec2i(bitcast<i32>(records[m + 2u]), bitcast<i32>(records[m + 5u]));
        out = unpack(x[b * area + u32(source.y) * p.width + u32(source.x)]);
      }
      case ${CODES.affine}u: { out = unpack(affine(b * area, vec2f(f32(column), f32(row)), r)); }
      default: {}
    }
    y[i] = pack(out);`,
});

/** Pixels u32 (B, H, W) after the operation of one slot; a blur leaves them (see blur.ts). `tables` from `augmentTables`. */
export function augmentOp(x: Tensor, { records, slot }: Slot, tables: Tensor | null, fill: readonly [number, number, number]): Tensor {
  const { B, height, width, slots } = checkSlot("augmentOp", x, { records, slot });
  const n = B * height * width;
  return kernel({
    inputs: { x, records, tables: tables ?? records },
    outputs: { y: x.shape },
    params: { n, height, width, slots, slot, fill: fill[0] | (fill[1] << 8) | (fill[2] << 16) },
    threads: n,
  }).y;
}
