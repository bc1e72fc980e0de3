/**
 * WGSL pieces of the fused attention kernels (flash.ts): a thread, or a few of them, owns a row and streams other rows past it. A row is a
 * head's D elements of one token, in vectors of type T; a thread keeps its share of a row in an array. In names of variables, `_at` is
 * where a head's first row starts and `_step` the distance from row to row, in vectors.
 */
import { unroll, unrollLines } from "../shared/unroll.ts";
import { typeOf, widthFor } from "../shared/width.ts";

export type Kind = "register" | "shared";

export interface Config {
  readonly kind: Kind;
  /** Per workgroup, at most. */
  readonly threads: number;
  /** q, k, v in one (B, M, 3, H, D), of which the first N tokens ask; otherwise each on its own, (B, H, N, D) and (B, H, M, D). */
  readonly packed: boolean;
  readonly D: number;
  /** Neighbouring threads that pass each other what they loaded (register only). */
  readonly lanes: 1 | 4 | 8;
  /** Leave loops over a row's elements as loops, against compile time; GPUs want them unrolled, arrays in registers. */
  readonly rolled: boolean;
}

/** Sizes that a configuration leads to. */
export interface Rows extends Config {
  readonly T: "vec4f" | "f32";
  /** Vectors of a row, and those of one thread. */
  readonly length: number;
  readonly share: number;
  /** Threads that share a row. */
  readonly split: number;
  /** Rows that a workgroup owns, and its threads. */
  readonly owned: number;
  readonly WG: number;
  /** Streamed rows that are multiplied at a time, and those that are in workgroup memory. */
  readonly streamed: 1 | 4;
  readonly tile: number;
}

export function rowsOf(config: Config): Rows {
  const { kind, threads, D } = config;
  const W = widthFor(D);
  const length = D / W;
  // Shares of at most 32 floats leave registers for four of them.
  const split = kind === "shared" ? ([1, 2, 3, 4].find((s) => length % s === 0 && D / s <= 32) ?? 1) : 1;
  const owned = Math.floor(threads / split);
  return {
    ...config,
    T: typeOf(W),
    length,
    share: length / split,
    split,
    owned,
    WG: owned * split,
    streamed: kind === "shared" ? 4 : 1,
    tile: D > 64 ? 8 : 16,
  };
}

/** Where a head's rows are: of q, k, v or y (and dy). */
type Place = "q" | "k" | "v" | "y";
/** A buffer, and where its rows are. */
export type Side = readonly [buffer: string, place: Place];

/**
 * `text(j)` for each vector j of the thread's share: a loop whose length drivers do not know (unrolled, a row of 64 takes a CPU adapter
 * seconds), or unrolled.
 */
export const perVector = ({ rolled, share }: Rows, text: (j: string) => string): string =>
  rolled ? `for (var j = 0u; j < p.share; j++) { ${text("j")} }` : unrollLines(share, (j) => text(`${j}u`));

/** The same where the stream is: a thread that owns a whole row multiplies it unrolled. */
export const perVectorInStream = (rows: Rows, text: (j: string) => string): string =>
  perVector({ ...rows, rolled: rows.rolled && rows.kind === "shared" }, text);

/** `text(r)` for each streamed row r at hand. */
export const perStreamed = ({ streamed }: Rows, text: (r: number) => string, separator = " "): string => unroll(streamed, text, separator);

/** The first vector of the thread's share, as a term before another. */
const part = ({ split, share }: Rows): string => (split > 1 ? `li % ${split}u * ${share}u + ` : "");

const vectorAt = ([buffer, place]: Side, row: string, j: string): string => `${buffer}[${place}_at + ${row} * ${place}_step + ${j}]`;

/** `q_at`, `q_step` and so on; `third`: which of the packed tensor's, none for y. */
function locate({ packed, length }: Rows, place: Place, count: "n" | "m", third: number | null): string {
  if (!packed) return `let ${place}_at = wid.y * p.${count} * ${length}u; let ${place}_step = ${length}u;`;
  const [tokens, thirds, skipped] = third === null ? ["n", "", ""] : ["m", "3u * ", `${third}u * p.heads + `];
  return `let ${place}_step = ${thirds}p.heads * ${length}u; let ${place}_at = wid.y / p.heads * p.${tokens} * ${place}_step + (${skipped}wid.y % p.heads) * ${length}u;`;
}

/** The thread's own row of `count`: `row` is in range even where there is none (`owns` is false). */
export const ownRow = (rows: Rows, count: "n" | "m"): string => `
    ${locate(rows, "q", "n", 0)} ${locate(rows, "k", "m", 1)} ${locate(rows, "v", "m", 2)} ${locate(rows, "y", "n", null)}
    let owned = wid.x * ${rows.owned}u + li / ${rows.split}u;
    let owns = owned < p.${count};
    let row = min(owned, p.${count} - 1u);`;

/** True in the one thread of a row that writes its numbers. */
export const leads = ({ split }: Rows): string => (split > 1 ? `owns && li % ${split}u == 0u` : "owns");

/** An array for the thread's share of a row. */
export const zeros = ({ T, share }: Rows, name: string): string => `var ${name}: array<${T}, ${share}>;`;

export const loadRow = (rows: Rows, name: string, from: Side): string =>
  `${zeros(rows, name)} ${perVector(rows, (j) => `${name}[${j}] = ${vectorAt(from, "row", part(rows) + j)};`)}`;

export const storeRow = (rows: Rows, to: Side, name: string, factor: string): string =>
  storeEach(rows, to, (j) => `${name}[${j}] * ${factor}`);

export const storeZeros = (rows: Rows, to: Side): string => storeEach(rows, to, () => `${rows.T}()`);

const storeEach = (rows: Rows, to: Side, value: (j: string) => string): string =>
  perVector(rows, (j) => `${vectorAt(to, "row", part(rows) + j)} = ${value(j)};`);

/** Vector j of streamed row r. */
type Streamed = (r: number, j: string) => string;

/**
 * Streams `count` rows of `a` and `b` past the own one. `body` multiplies the rows at hand, whose first has the number `first`; past the
 * end the last row is repeated.
 */
export const stream = (rows: Rows, count: "n" | "m", a: Side, b: Side, body: (a: Streamed, b: Streamed) => string): string =>
  rows.kind === "shared" ? streamTiles(rows, count, a, b, body) : streamLanes(rows, count, a, b, body);

/** Each of `lanes` neighbouring threads loads one streamed row; they take turns in passing theirs around. */
function streamLanes(rows: Rows, count: "n" | "m", a: Side, b: Side, body: (a: Streamed, b: Streamed) => string): string {
  const { lanes } = rows;
  const ofLane =
    (name: string): Streamed =>
    (_, j) =>
      lanes > 1 ? `subgroupShuffle(${name}[${j}], lane)` : `${name}[${j}]`;
  return `
    ${zeros(rows, "a_row")} ${zeros(rows, "b_row")}
    for (var block = 0u; block < (p.${count} + ${lanes - 1}u) / ${lanes}u; block++) {
      let mine = min(block * ${lanes}u + li % ${lanes}u, p.${count} - 1u);
      ${perVector(rows, (j) => `a_row[${j}] = ${vectorAt(a, "mine", j)}; b_row[${j}] = ${vectorAt(b, "mine", j)};`)}
      for (var lane = 0u; lane < ${lanes}u; lane++) {
        let first = block * ${lanes}u + lane;
        ${body(ofLane("a_row"), ofLane("b_row"))}
      }
    }`;
}

/** The workgroup loads a tile of streamed rows into its memory, and multiplies four of them at a time. */
function streamTiles(rows: Rows, count: "n" | "m", a: Side, b: Side, body: (a: Streamed, b: Streamed) => string): string {
  const { tile, length, WG, rolled } = rows;
  const ofTile =
    (name: string): Streamed =>
    (r, j) =>
      `${name}[(quarter * 4u + ${r}u) * ${length}u + ${part(rows)}${j}]`;
  return `
    for (var block = 0u; block < (p.${count} + ${tile - 1}u) / ${tile}u; block++) {
      workgroupBarrier(); // the tiles of the block before have been used
      for (var i = 0u; i < ${Math.ceil((tile * length) / WG)}u; i++) {
        let e = i * ${WG}u + li;
        if (e < ${tile * length}u) {
          let r = min(block * ${tile}u + e / ${length}u, p.${count} - 1u);
          a_tile[e] = ${vectorAt(a, "r", `e % ${length}u`)};
          b_tile[e] = ${vectorAt(b, "r", `e % ${length}u`)};
        }
      }
      workgroupBarrier();
      for (var quarter = 0u; quarter < ${rolled ? `(min(p.${count} - block * ${tile}u, ${tile}u) + 3u) / 4u` : `${tile / 4}u`}; quarter++) {
        let first = block * ${tile}u + quarter * 4u;
        ${body(ofTile("a_tile"), ofTile("b_tile"))}
      }
    }`;
}

/** Workgroup memory of `streamTiles` and `addShares`. */
export const workgroupMemory = ({ kind, T, tile, length, split, WG }: Rows): string =>
  kind === "register"
    ? ""
    : `var<workgroup> a_tile: array<${T}, ${tile * length}>; var<workgroup> b_tile: array<${T}, ${tile * length}>;
    ${split > 1 ? `var<workgroup> shares: array<vec4f, ${2 * WG}>;` : ""}`;

/** A number per streamed row r, `<name>r`, from a buffer of `count` for each head. */
export const loadNumbers = (rows: Rows, name: string, buffer: string, count: "n" | "m"): string =>
  perStreamed(rows, (r) => `let ${name}${r} = ${buffer}[stats + min(first + ${r}u, p.${count} - 1u)];`);

/** The product of two vectors, as a number. */
export const dot = ({ T }: Rows, a: string, b: string): string => (T === "vec4f" ? `dot(${a}, ${b})` : `${a} * ${b}`);

/** `<name>r` = the own row times streamed row r, over this thread's share. */
export const dots = (rows: Rows, name: string, own: string, streamed: Streamed): string => `
      ${perStreamed(rows, (r) => `var ${name}${r} = 0.0;`)}
      ${perVectorInStream(rows, (j) => perStreamed(rows, (r) => `${name}${r} += ${dot(rows, `${own}[${j}]`, streamed(r, j))};`))}`;

/** Adds each vec4f of `names` over the threads that share a row. */
export function addShares({ split, WG }: Rows, ...names: readonly string[]): string {
  if (split === 1) return "";
  const sum = (i: number) => unroll(split, (s) => `shares[${i * WG}u + li / ${split}u * ${split}u + ${s}u]`, " + ");
  return `
      ${names.map((name, i) => `shares[${i * WG}u + li] = ${name};`).join(" ")}
      workgroupBarrier();
      ${names.map((name, i) => `${name} = ${sum(i)};`).join(" ")}
      workgroupBarrier(); // shares are written again`;
}

/** Adds the numbers `<name>r` over the threads that share a row. */
export const addDots = (rows: Rows, ...names: readonly string[]): string =>
  rows.split === 1
    ? ""
    : `
      ${names.map((name) => `var ${name}s = vec4f(${perStreamed(rows, (r) => `${name}${r}`, ", ")});`).join(" ")}
      ${addShares(rows, ...names.map((name) => `${name}s`))}
      ${names.map((name) => perStreamed(rows, (r) => `${name}${r} = ${name}s[${r}];`)).join(" ")}`;

/** Adds to the array `sum` the streamed rows, row r times `<weight>r`. */
export const addWeighted = (rows: Rows, sum: string, weight: string, streamed: Streamed): string =>
  perVectorInStream(rows, (j) => `${sum}[${j}] += ${perStreamed(rows, (r) => `${weight}${r} * ${streamed(r, j)}`, " + ")};`);
