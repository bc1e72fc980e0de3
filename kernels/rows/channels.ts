/** Kernels over the channels of a batch of images (batch-norm.ts), a stripe of the images at a time. */
import { workgroupSum } from "../shared/reduce.ts";
import { rowWords } from "./rows.ts";

const WG = 64;
/** Loads in flight per thread of `once`. */
const FLIGHT = 4;
/** Threads per workgroup of `register`, a stripe each. */
export const ROWS = 8;

/** A channel's pixels, as vectors where they come in fours. */
export interface ChannelLayout {
  /** Vectors per channel and image. */
  readonly P: number;
  readonly vec: boolean;
}

export const typesOf = ({ P, vec }: ChannelLayout) => ({
  elem: vec ? ("vec4f" as const) : ("f32" as const),
  type: vec ? "vec4f" : "f32",
  add: (v: string) => (vec ? `dot(${v}, vec4f(1.0))` : v),
  width: vec ? 4 : 1,
  /** The index of element i of channel `c`, images first. */
  at: (i: string) => `((${i}) / ${P}u * p.C + c) * ${P}u + (${i}) % ${P}u`,
});

/**
 * What a stripe (wid.y: `images` images of a channel, the last one may be shorter) is mapped to. `shared`: a workgroup, which reads it
 * twice for the statistics; `once`: a larger workgroup, which reads it once, several vectors at a time; `register`: a thread, where
 * barriers are dear.
 */
export type BatchNormVariant = "shared" | "register" | "once";
export const BATCH_NORM_VARIANTS: readonly BatchNormVariant[] = ["shared", "register", "once"];

/** `wide`: threads of `once`; `lanes`: neighbours among them that shuffles reach, see rows.ts. */
export interface Stripes extends ChannelLayout {
  readonly variant: BatchNormVariant;
  readonly lanes: number;
  readonly wide: 256 | 128;
}

/** WGSL words for a kernel over a channel's stripe. */
export const channelWords = ({ variant, P, lanes, wide }: Stripes) => {
  const range = /* wgsl */ `
    let start = wid.y * p.images * ${P}u;
    let end = min(p.B, (wid.y + 1u) * p.images) * ${P}u;`;
  if (variant === "once") {
    const { threads, places, sum } = rowWords({ kind: "subgroup", threads: wide, loads: 1, lanes, most: wide });
    return {
      ...threads,
      setup: `let c = wid.x; ${places} ${range}`,
      sum,
      one: "place == 0u",
      each: (body: (i: string) => string) => `for (var i = start + place; i < end; i += ${wide * FLIGHT}u) {
      ${Array.from({ length: FLIGHT }, (_, k) => (k === 0 ? `{ ${body("i")} }` : `if (i + ${k * wide}u < end) { ${body(`(i + ${k * wide}u)`)} }`)).join("\n      ")}
    }`,
    };
  }
  const shared = variant === "shared";
  return {
    workgroup: shared ? WG : ROWS,
    helpers: shared ? workgroupSum : "",
    needs: [],
    setup: `${shared ? "let c = wid.x;" : "let c = wid.x * WG + li; if (c >= p.C) { return; }"} ${range}`,
    each: (body: (i: string) => string) =>
      `for (var i = ${shared ? "start + li; i < end; i += WG" : "start; i < end; i++"}) { ${body("i")} }`,
    sum: (...names: readonly string[]) => (shared ? names.map((name) => `${name} = workgroup_sum(${name}, li);`).join(" ") : ""),
    one: shared ? "li == 0u" : "true",
  };
};
