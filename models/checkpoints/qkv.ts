/** Query, key and value as one weight, as timm has them (rows 0…D-1, D…2D-1, 2D…3D-1), and apart, as Hugging Face has them. */
import { quote } from "../shown.ts";
import type { State } from "../params.ts";

export type Weight = { readonly shape: readonly number[]; readonly data: Float32Array };

export const PARTS = ["q", "k", "v"] as const;

/** `attn.q`, `attn.k` and `attn.v`, weight or bias, as one `attn.qkv`. */
export function fuse(state: State): State {
  const fused = new Map<string, Weight>();
  for (const [name, values] of state) {
    const [, block, part, kind] = /^(.*\.attn)\.([qkv])\.(weight|bias)$/.exec(name) ?? [];
    if (block === undefined) {
      fused.set(name, values);
      continue;
    }
    if (fused.has(`${block}.qkv.${kind}`)) continue;
    const parts = PARTS.map(
      (p) => state.get(`${block}.${p}.${kind}`) ?? fail(`query, key and value of ${block}`, `${part} ${kind} but not ${p}`),
    );
    for (const p of parts) {
      if (p.shape.length === 0 || `${p.shape}` !== `${parts[0]!.shape}`)
        fail(`query, key and value of ${block} of one shape`, parts.map((q) => `[${q.shape}]`).join(", "));
    }
    const [rows, ...rest] = parts[0]!.shape;
    // Made when asked for, so that a large model is not held twice.
    fused.set(`${block}.qkv.${kind}`, {
      shape: [3 * rows!, ...rest],
      get data() {
        return joined(parts);
      },
    });
  }
  return fused;
}

function joined(parts: readonly Weight[]): Float32Array {
  const arrays = parts.map((p) => p.data);
  const data = new Float32Array(arrays.reduce((n, a) => n + a.length, 0));
  let at = 0;
  for (const a of arrays) {
    data.set(a, at);
    at += a.length;
  }
  return data;
}

/** The three of `attn.qkv`. */
export function split(name: string, values: Weight): Weight[] {
  const [rows, ...rest] = values.shape;
  if (rows === undefined || rows % 3 !== 0) return fail(`query, key and value in ${quote(name)}`, `[${values.shape}]`);
  return PARTS.map((_, i) => ({
    shape: [rows / 3, ...rest],
    get data() {
      const { data } = values,
        each = data.length / 3;
      return data.subarray(i * each, (i + 1) * each);
    },
  }));
}

function fail(expected: string, got: string): never {
  throw new Error(`weights: expected ${expected}, got ${got}`);
}
