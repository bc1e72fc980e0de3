/**
 * Bicubic resize of bytes, to the bit as Pillow's `Image.resize(BICUBIC)`: the width first, with a byte result in between, then the
 * height; a pass is left out where the size stays. Antialiased when shrinking. No gradient: images are given.
 *
 *   y = clamp((2^21 + sum of q x) >> 22, 0, 255),   q = round(2^22 w), halves away from 0
 *
 * https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters
 */
import { defineKernel } from "../../engine/kernel.ts";
import { antialiasedBands, BICUBIC, PRECISION, quantized } from "../shared/resample.ts";
import { show } from "../../engine/shape.ts";
import { Tensor } from "../../engine/tensor.ts";
import { bandTables } from "../shared/bands.ts";

const WG = 64;

// One thread per word of four bytes. Both sides are (outer, axis, inner) with another length of the axis.
const passKernel = defineKernel({
  name: "resizeBicubic.pass",
  inputs: { x: "u32", runs: "u32", weights: "i32" }, // bytes, (M, 3), (any)
  outputs: { y: "u32" },
  params: { n: "u32", before: "u32", after: "u32", inner: "u32" }, // n bytes of y; the axis is `before` long in x, `after` in y
  workgroup: WG,
  code: /* wgsl */ `
    let word = group * WG + li;
    if (4u * word >= p.n) { return; }
    var packed = 0u;
    for (var b = 0u; b < 4u; b++) {
      let i = 4u * word + b;
      if (i < p.n) {
        let row = 3u * ((i / p.inner) % p.after);
        let first = (i / (p.inner * p.after) * p.before + runs[row]) * p.inner + i % p.inner;
        var sum = ${1 << (PRECISION - 1)};
        for (var k = 0u; k < runs[row + 2u]; k++) {
          let at = first + k * p.inner;
          sum += weights[runs[row + 1u] + k] * i32((x[at / 4u] >> (8u * (at % 4u))) & 0xffu);
        }
        packed |= u32(clamp(sum >> ${PRECISION}u, 0, 255)) << (8u * b);
      }
    }
    y[word] = packed;`,
});

function pass(x: Tensor, axis: 0 | 1, size: number): Tensor {
  const from = x.shape[axis]!;
  if (from === size) return x;
  const shape = x.shape.with(axis, size);
  const n = shape.reduce((a, b) => a * b, 1);
  const words = Math.ceil(n / 4);
  const inner = x.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const { y } = passKernel({
    inputs: { x, ...bandTables(quantized(antialiasedBands(from, size, BICUBIC)), "i32") },
    outputs: { y: [words] },
    params: { n, before: from, after: size, inner },
    threads: words,
  });
  return new Tensor(shape, "u8", y.storage, y.offset);
}

/** x: u8 (H, W, C). Returns u8 (height, width, C); x itself where neither size changes. */
export function resizeBicubic(x: Tensor, { height, width }: { readonly height: number; readonly width: number }): Tensor {
  if (x.shape.length !== 3 || x.dtype !== "u8") throw new Error(`resizeBicubic: expected u8 [H,W,C], got ${x.dtype} ${show(x.shape)}`);
  for (const [name, v] of [
    ["height", height],
    ["width", width],
  ] as const) {
    if (!Number.isInteger(v) || v < 1) throw new Error(`resizeBicubic: expected a positive integer ${name}, got ${v}`);
  }
  return pass(pass(x, 1, width), 0, height);
}
