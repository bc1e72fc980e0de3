/** Resizing of bytes against Pillow and of position embeddings against PyTorch: test/golden/resize.json. */
import { gradients } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { record } from "../../engine/plan.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { resizeBicubic } from "../../kernels/augment/resize-bicubic.ts";
import { resizePosEmbed } from "../../kernels/resize-pos-embed.ts";
import { initialState } from "../../models/params.ts";
import { createModel } from "../../models/model.ts";
import { resizeBicubic as resizeOnCpu } from "../../models/images/preprocess.ts";
import { resizedPosEmbed } from "../../models/pos-embed.ts";
import { close, refuses, type Case } from "../../checks/check.ts";
import { fill, unitValue } from "../golden/fill.ts";
import posEmbeds from "../golden/pos-embed.json" with { type: "json" };
import golden from "../golden/resize.json" with { type: "json" };

const noise = (n: number, k: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => Math.floor((unitValue(i, k) + 1) * 128));

function equalBytes(what: string, got: ArrayLike<number>, expected: ArrayLike<number>): void {
  if (got.length !== expected.length) throw new Error(`${what}: expected ${expected.length} bytes, got ${got.length}`);
  for (let i = 0; i < got.length; i++)
    if (got[i] !== expected[i]) throw new Error(`${what}: expected ${expected[i]} at byte ${i}, got ${got[i]}`);
}

const timm = posEmbeds.grids;

const TINY = { arch: "deit", imgSize: 12, patchSize: 4, dim: 5, depth: 1, heads: 1, numClasses: 2 };

/** What a state's position embedding becomes for images of so many pixels. */
function posEmbed(imgSize: number, k: number) {
  const from = createModel(TINY);
  const state = new Map(initialState(from.params, 0));
  state.set("pos_embed", { shape: [1, 10, 5], data: fill(50, k, 1) });
  return { state, resized: resizedPosEmbed(state, createModel({ ...TINY, imgSize })) };
}

export const cases: Case[] = [
  ...golden.images.map(
    ({ shape, k, height, width, y }): Case => ({
      name: `resizeBicubic: ${shape.join("x")} to ${height}x${width}, no byte differs from Pillow`,
      async run() {
        const [H, W, C] = shape as [number, number, number];
        const expected = Uint8Array.from(atob(y), (c) => c.charCodeAt(0));
        const x = noise(H * W * C, k);
        if (C === 3) equalBytes("on the CPU", resizeOnCpu({ height: H, width: W, data: x }, height, width).data, expected);
        const out = scope(() => resizeBicubic(Tensor.from(x, shape, "u8"), { height, width }));
        if (`${out.shape}` !== `${[height, width, C]}`) throw new Error(`expected shape ${[height, width, C]}, got ${out.shape}`);
        equalBytes("y", await out.read(), expected);
        out.dispose();
      },
    }),
  ),
  {
    name: "resizeBicubic: recorded and replayed on other bytes",
    async run() {
      const x = Tensor.from(noise(20 * 30 * 3, 1), [20, 30, 3], "u8");
      const plan = await record(() => resizeBicubic(x, { height: 13, width: 17 }));
      for (const k of [1, 2]) {
        const data = noise(20 * 30 * 3, k);
        x.write(data);
        plan.run();
        equalBytes(`run ${k}`, await plan.result.read(), resizeOnCpu({ height: 20, width: 30, data }, 13, 17).data);
      }
      plan.dispose();
      x.dispose();
    },
  },
  {
    name: "resizeBicubic: refuses floats, ranks and sizes that are none",
    async run() {
      await refuses(
        () => resizeBicubic(Tensor.zeros([2, 2, 3]), { height: 1, width: 1 }),
        /resizeBicubic: expected u8 \[H,W,C\], got f32 \[2,2,3\]/,
      );
      await refuses(() => resizeBicubic(Tensor.zeros([4], "u8"), { height: 1, width: 1 }), /expected u8 \[H,W,C\], got u8 \[4\]/);
      await refuses(
        () => resizeBicubic(Tensor.zeros([2, 2, 3], "u8"), { height: 1, width: 0 }),
        /expected a positive integer width, got 0/,
      );
    },
  },
  ...golden.grids.map(
    ({ prefix, side, channels, k, height, width, y, dx }): Case => ({
      name: `resizePosEmbed: ${prefix} tokens, ${side}x${side} to ${height}x${width}, as PyTorch, forward and backward`,
      async run() {
        const result = scope(() => {
          const x = Tensor.from(fill(dx.length, k, 1), [1, prefix + side * side, channels]);
          x.requiresGrad = true;
          const out = resizePosEmbed(x, { prefix, height, width });
          return [out, ...gradients(out, [x], Tensor.from(fill(y.length, 100 + k, 1), out.shape))];
        });
        const [found, grad] = await readAll(result);
        for (const t of result) t.dispose();
        if (found!.length !== y.length) throw new Error(`expected ${y.length} values, got ${found!.length}`);
        y.forEach((v, i) => close(`y[${i}]`, found![i]!, v, 1e-6));
        dx.forEach((v, i) => close(`dx[${i}]`, grad![i]!, v, 1e-6 * (1 + Math.abs(v))));
      },
    }),
  ),
  {
    name: "resizePosEmbed: refuses grids that are not square, other prefixes and sizes that are none",
    async run() {
      const x = Tensor.zeros([1, 6, 2]);
      await refuses(
        () => resizePosEmbed(x, { prefix: 1, height: 2, width: 2 }),
        /expected \[1,N,D\] with 1 and a square number of tokens, got \[1,6,2\]/,
      );
      await refuses(() => resizePosEmbed(x, { prefix: -1, height: 2, width: 2 }), /expected a prefix of 0 or more, got -1/);
      await refuses(() => resizePosEmbed(x, { prefix: 2, height: 0, width: 2 }), /expected a positive integer height, got 0/);
    },
  },
  {
    name: "resizedPosEmbed: a state for another resolution, as PyTorch; everything else stays",
    async run() {
      const sample = golden.grids.find((g) => g.prefix === 1 && g.side === 3 && g.channels === 5 && g.height === 5 && g.width === 5)!;
      const { state, resized } = posEmbed(20, sample.k);
      sample.y.forEach((v, i) => close(`pos_embed[${i}]`, resized.get("pos_embed")!.data[i]!, v, 1e-6));
      if (`${resized.get("pos_embed")!.shape}` !== "1,26,5")
        throw new Error(`expected shape 1,26,5, got ${resized.get("pos_embed")!.shape}`);
      for (const [name, values] of state)
        if (name !== "pos_embed" && resized.get(name) !== values) throw new Error(`expected ${name} to stay`);
      if (
        posEmbed(12, 0)
          .resized.get("pos_embed")!
          .data.some((v, i) => v !== Math.fround(unitValue(i, 0)))
      )
        throw new Error("expected the same resolution to leave every value");
    },
  },
  ...timm.map(
    ({ name, imgSize, from, k, y }): Case => ({
      name: `resizedPosEmbed: ${name} from ${from} to ${imgSize} pixels, as timm`,
      async run() {
        const model = { ...createModel({ ...createModel(name).config, imgSize }), name };
        const rows = (from / model.patch!) ** 2;
        const prefix = /reg4|deit3/.test(name) ? 0 : 1;
        const D = model.featureWidth;
        // Of all channels the first has values.
        const data = new Float32Array((prefix + rows) * D);
        fill(prefix + rows, k, 1).forEach((v, i) => (data[i * D] = v));
        const resized = resizedPosEmbed(new Map([["pos_embed", { shape: [1, prefix + rows, D], data }]]), model).get("pos_embed")!;
        if (resized.data.length !== y.length * D) throw new Error(`expected ${y.length} rows, got [${resized.shape}]`);
        y.forEach((v, i) => close(`row ${i}`, resized.data[i * D]!, v, 2e-6));
      },
    }),
  ),
  {
    name: "resizedPosEmbed: refuses a model without one, and weights of another width",
    async run() {
      const { state } = posEmbed(12, 0);
      await refuses(() => resizedPosEmbed(state, createModel("regnety_002")), /expected a vision transformer.*got regnety_002/);
      await refuses(
        () => resizedPosEmbed(state, createModel({ ...TINY, dim: 6 })),
        /misshapen: .*pos_embed is \[1,10,5\], expected \[1,10,6\]/,
      );
      await refuses(
        () => resizedPosEmbed(state, createModel({ ...TINY, distilled: true })),
        /pos_embed is \[1,10,5\], expected \[1,11,5\]/,
      );
      await refuses(
        () => resizedPosEmbed(new Map(), createModel(TINY)),
        /expected the \d+ tensors of this model, got missing: .*pos_embed \[1,10,5\]/,
      );
    },
  },
];
