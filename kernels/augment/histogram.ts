/**
 * Statistics of whole images that some operations need: AutoContrast's and Equalize's tables from its histograms, Contrast's mean grey.
 * One workgroup per image; images whose record needs none of them are skipped.
 *
 *   AutoContrast  t[v] = trunc(255 / (high - low) v - 255 / (high - low) low)      Equalize  t[v] = min(255, (step / 2 + count below v) / step)
 *
 * AutoContrast is Pillow's to the bit, which computes in f64: where the quotient is whole, some f64 results lie just below it and lose one.
 * Those cases are found on the CPU, and come as bits.
 */
import { defineKernel } from "../../engine/kernel.ts";
import { Tensor } from "../../engine/tensor.ts";
import { checkSlot, CODES, pixelWgsl, WORDS, type Slot } from "./records.ts";

/** Threads, and values of a byte. */
const WG = 256;
/** Pixels whose sum of greys still fits u32. */
const MOST_PIXELS = 2 ** 24;

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
let below: Uint32Array | null = null;

/**
 * Two words for each pair low < high, at high (high - 1) / 2 + low: bit k is set where the f64 result is below 255 k / g, the whole
 * quotient of v = low + k (high - low) / g with g the greatest common divisor of high - low and 255. Where g is above 63 the scale is 1,
 * 1.5 or 3, and nothing is rounded.
 */
function roundedBelow(): Uint32Array {
  if (below) return below;
  below = new Uint32Array(255 * 256);
  for (let high = 1; high < 256; high++) {
    for (let low = 0; low < high; low++) {
      const g = gcd(high - low, 255);
      const scale = 255 / (high - low);
      for (let k = 0; k <= g; k++) {
        const v = low + (k * (high - low)) / g;
        if (Math.trunc(v * scale + -low * scale) < (255 * k) / g) below[high * (high - 1) + 2 * low + (k >> 5)]! |= 1 << (k & 31);
      }
    }
  }
  return below;
}

const kernel = defineKernel({
  name: "augmentTables",
  inputs: { x: "u32", records: "u32", below: "u32" }, // (B, H, W), (B, slots, 16), (65280)
  outputs: { tables: "u32" }, // (B, 257): a byte for each channel; at last the mean
  params: { area: "u32", slots: "u32", slot: "u32" },
  workgroup: { upTo: WG },
  helpers: /* wgsl */ `${pixelWgsl}
var<workgroup> bins: array<atomic<u32>, 768>;
var<workgroup> grey: atomic<u32>;
var<workgroup> before: array<u32, 768>;
var<workgroup> ends: array<vec2u, 3>; // lowest and highest value

fn gcd255(n: u32) -> u32 { // 255 = 3 * 5 * 17
  return select(1u, 3u, n % 3u == 0u) * select(1u, 5u, n % 5u == 0u) * select(1u, 17u, n % 17u == 0u);
}
fn stretched(v: u32, low: u32, high: u32) -> u32 {
  if (high <= low || v < low) { return v; }
  let d = high - low;
  let e = 255u * (min(v, high) - low);
  var q = e / d;
  if (e % d == 0u) {
    let k = (min(v, high) - low) / (d / gcd255(d));
    q -= select(0u, (below[high * (high - 1u) + 2u * low + k / 32u] >> (k % 32u)) & 1u, k < 64u);
  }
  return q;
}
fn equalized(v: u32, c: u32, area: u32) -> u32 {
  let low = ends[c].x;
  let high = ends[c].y;
  let step = (area - atomicLoad(&bins[256u * c + high])) / 255u;
  if (low == high || step == 0u) { return v; }
  return min(255u, (step / 2u + before[256u * c + v]) / step);
}`,
  code: /* wgsl */ `
    let code = records[(group * p.slots + p.slot) * ${WORDS}u];
    let counts = code == ${CODES.autoContrast}u || code == ${CODES.equalize}u;
    let sums = code == ${CODES.contrast}u;
    for (var i = li; i < 768u; i += WG) { atomicStore(&bins[i], 0u); }
    if (li == 0u) { atomicStore(&grey, 0u); }
    workgroupBarrier();

    let end = select(0u, p.area, counts || sums);
    var total = 0u;
    for (var i = li; i < end; i += WG) {
      let v = unpack(x[group * p.area + i]);
      total += (19595u * v.x + 38470u * v.y + 7471u * v.z + 32768u) >> 16u;
      if (counts) {
        atomicAdd(&bins[v.x], 1u);
        atomicAdd(&bins[256u + v.y], 1u);
        atomicAdd(&bins[512u + v.z], 1u);
      }
    }
    if (sums) { atomicAdd(&grey, total); }
    workgroupBarrier();

    if (counts && li < 3u) {
      var sum = 0u;
      var low = 256u;
      var high = 0u;
      for (var v = 0u; v < 256u; v++) {
        let n = atomicLoad(&bins[256u * li + v]);
        before[256u * li + v] = sum;
        sum += n;
        if (n > 0u) { low = min(low, v); high = v; }
      }
      ends[li] = vec2u(low, high);
    }
    workgroupBarrier();

    if (code == ${CODES.autoContrast}u) {
      for (var v = li; v < 256u; v += WG) {
        tables[257u * group + v] = stretched(v, ends[0].x, ends[0].y) | (stretched(v, ends[1].x, ends[1].y) << 8u) | (stretched(v, ends[2].x, ends[2].y) << 16u);
      }
    } else if (code == ${CODES.equalize}u) {
      for (var v = li; v < 256u; v += WG) {
        tables[257u * group + v] = equalized(v, 0u, p.area) | (equalized(v, 1u, p.area) << 8u) | (equalized(v, 2u, p.area) << 16u);
      }
    } else if (sums && li == 0u) {
      let sum = atomicLoad(&grey);
      tables[257u * group + 256u] = sum / p.area + select(0u, 1u, 2u * (sum % p.area) >= p.area);
    }`,
});

/** x: pixels u32 (B, H, W) of at most 2^24 each. Returns u32 (B, 257) for `augmentOp` of the same slot. */
export function augmentTables(x: Tensor, { records, slot }: Slot): Tensor {
  const { B, height, width, slots } = checkSlot("augmentTables", x, { records, slot });
  const area = height * width;
  if (area > MOST_PIXELS) throw new Error(`augmentTables: expected images of at most ${MOST_PIXELS} pixels, got ${height}x${width}`);
  const bits = roundedBelow();
  return kernel({
    inputs: { x, records, below: Tensor.from(bits, [bits.length], "u32") },
    outputs: { tables: [B, WG + 1] },
    params: { area, slots, slot },
    groups: B,
  }).tables;
}
