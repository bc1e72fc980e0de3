/**
 * f16 storage for kernels written in f32: loads from narrow buffers are converted to f32, stores to them to f16.
 * All arithmetic stays in f32. Kernels reach buffers only by subscripts, so loads and stores can be found in the text.
 */

/** The element type of a buffer as WGSL sees it. */
export type Elem = "f32" | "vec2f" | "vec4f" | "f16" | "vec2h" | "vec4h" | "u32" | "vec4u" | "i32";

/** The f16 element that replaces an f32 element. */
export const narrowElems: Readonly<Partial<Record<Elem, Elem>>> = { f32: "f16", vec2f: "vec2h", vec4f: "vec4h" };

/** `text` with the buffers of `wide` (name, f32 element) held as f16. Stores must be whole: `name[i] = value;`. */
export function narrowed(text: string, wide: ReadonlyMap<string, Elem>): string {
  const match = wide.size > 0 ? new RegExp(`(?<![\\w.])(${[...wide.keys()].join("|")})\\[`).exec(text) : null;
  if (!match) return text;
  const name = match[1]!,
    elem = wide.get(name)!;
  const from = match.index + match[0].length,
    close = closing(text, from);
  const at = `${name}[${narrowed(text.slice(from, close), wide)}]`,
    before = text.slice(0, match.index),
    rest = text.slice(close + 1);
  if (/^\s*([-+*/%]|\.\w+\s*|\[[^\]]*\]\s*)=(?!=)/.test(rest))
    throw new Error(`kernel: expected whole stores to ${name}, got "${name}[..]${rest.slice(0, 20)}"`);
  const [, value, after] = /^\s*=(?!=)\s*([^;]*?)\s*(;[^]*)$/.exec(rest) ?? [];
  if (value === undefined) return `${before}${elem}(${at})${narrowed(rest, wide)}`;
  return `${before}${at} = ${narrowElems[elem]}(${narrowed(value, wide)})${narrowed(after!, wide)}`;
}

/** Index of the bracket that closes the one opened just before `from`. */
function closing(text: string, from: number): number {
  let depth = 1;
  for (let i = from; i < text.length; i++) {
    if (text[i] === "[") depth++;
    else if (text[i] === "]" && --depth === 0) return i;
  }
  throw new Error(`kernel: expected a closing bracket after "${text.slice(from - 20, from)}", got none`);
}
