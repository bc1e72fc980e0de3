/** `classify`: top-k classes of images that were decoded before. */
import { noGrad } from "../../engine/autograd.ts";
import { scope } from "../../engine/memory.ts";
import { Tensor } from "../../engine/tensor.ts";
import { normalizeImages } from "../../kernels/normalize.ts";
import { loadParams } from "../../models/params.ts";
import { evalTransform } from "../../models/preprocess.ts";
import { refusing } from "../errors.ts";
import type { Host } from "../host.ts";
import { loadModel, normalizationOf } from "../load-model.ts";

export interface ClassifyArgs {
  readonly weights: string;
  readonly model?: string | Readonly<Record<string, unknown>> | undefined;
  /** `rgb`: base64 of bytes (height, width, 3). */
  readonly images: readonly { readonly name: string; readonly height: number; readonly width: number; readonly rgb: string }[];
  readonly k: number;
  /** Share of the resized image that the centre crop keeps. */
  readonly cropPct: number;
}

export interface Classified {
  readonly name: string;
  readonly top: readonly { readonly label: string; readonly index: number; readonly probability: number }[];
}

export default async function classifyJob(host: Host, args: ClassifyArgs): Promise<readonly Classified[]> {
  const { model, weights } = await loadModel(host, args.weights, args.model);
  const params = refusing(() => loadParams(model.name, model.params, weights.state), args.weights);
  const size = model.imageShape[1];
  const results: Classified[] = [];
  for (const { name, height, width, rgb } of args.images) {
    const data = Uint8Array.from(atob(rgb), (c) => c.charCodeAt(0));
    const pixels = evalTransform({ height, width, data }, size, args.cropPct);
    const logits = scope(() => noGrad(() => model.forward(params, normalizeImages(Tensor.from(pixels, [1, 3, size, size], "u8"), normalizationOf(weights))).logits));
    const z = await logits.floats();
    logits.dispose();
    const max = Math.max(...z);
    const e = Array.from(z, (v) => Math.exp(v - max));
    const sum = e.reduce((a, b) => a + b, 0);
    const top = e.map((v, index) => ({ label: weights.info?.classes?.[index] ?? String(index), index, probability: v / sum }));
    results.push({ name, top: top.sort((a, b) => b.probability - a.probability || a.index - b.index).slice(0, args.k) });
  }
  return results;
}
