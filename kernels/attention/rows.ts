/**
 * WGSL words of the fused attention kernels (flash.ts): a thread, or a few of them, owns a row and streams other rows past it. A row is
 * DV elements of type T; a thread keeps rows, or shares of them, in arrays.
 */

export type Kind = "register" | "shared";

export interface Config {
  readonly kind: Kind;
  /** Per workgroup, at most. */
  readonly threads: number;
  /** q, k, v in one [B,N,3,H,D]; otherwise each on its own, [B,H,N,D]. */
  readonly packed: boolean;
  readonly D: number;
  /** Neighbouring threads that pass each other what they loaded (register only). */
  readonly lanes: 1 | 4 | 8;
  /** Leave loops over a row's elements as loops, against compile time; GPUs want them unrolled, arrays in registers. */
  readonly rolled: boolean;
}

export function words({ kind, threads, packed, D, lanes, rolled }: Config) {
  const shared = kind === "shared";
  const W = D % 4 === 0 ? 4 : 1;
  const T: "vec4f" | "f32" = W === 4 ? "vec4f" : "f32";
  const DV = D / W;
  // Threads per row: shares of at most 32 floats leave registers for four of them.
  const split = shared ? ([1, 2, 3, 4].find((s) => DV % s === 0 && D / s <= 32) ?? 1) : 1;
  const rows = Math.floor(threads / split);
  const WG = rows * split;
  const R = shared ? 4 : 1; // streamed rows at a time
  const tile = D > 64 ? 8 : 16; // and per workgroup tile
  const share = DV / split;
  const range = Array.from({ length: R }, (_, r) => r);
  const four = (line: (r: number) => string, by = " ") => range.map(line).join(by);
  // Drivers unroll a loop whose length they know; `p.share` they do not know. Compiling a row of 64 unrolled takes a CPU adapter seconds.
  const loop = (line: (j: string) => string) => `for (var j = 0u; j < p.share; j++) { ${line("j")} }`;
  const unrolled = (line: (j: string) => string) => Array.from({ length: share }, (_, j) => line(`${j}u`)).join("\n      ");
  const each = rolled ? loop : unrolled;
  const eachHot = rolled && shared ? loop : unrolled;
  const dot = (a: string, b: string) => (W === 4 ? `dot(${a}, ${b})` : `${a} * ${b}`);
  const part = split > 1 ? `li % ${split}u * ${share}u + ` : "";

  // Where a head's rows start, and from row to row.
  const place = (name: string, rowsOf: "n" | "m", third: number | null) => {
    if (!packed) return `let ${name}_at = wid.y * p.${rowsOf} * ${DV}u; let ${name}_step = ${DV}u;`;
    const [wide, skip] = third === null ? ["", ""] : ["3u * ", `${third}u * p.heads + `];
    return `let ${name}_step = ${wide}p.heads * ${DV}u; let ${name}_at = wid.y / p.heads * p.n * ${name}_step + (${skip}wid.y % p.heads) * ${DV}u;`;
  };

  /** The own row; `row` is in range even where the thread has none (`owns` is false). */
  const own = (count: "n" | "m") => `
    ${place("q", "n", 0)} ${place("k", "m", 1)} ${place("v", "m", 2)} ${place("y", "n", null)}
    let owned = wid.x * ${rows}u + li / ${split}u;
    let owns = owned < p.${count};
    let row = min(owned, p.${count} - 1u);`;

  const element = (buffer: string, where: string, row: string, j: string) => `${buffer}[${where}_at + ${row} * ${where}_step + ${j}]`;
  const zeros = (name: string) => `var ${name}: array<${T}, ${share}>;`;
  const load = (name: string, buffer: string, where: string) =>
    `${zeros(name)} ${each((j) => `${name}[${j}] = ${element(buffer, where, "row", part + j)};`)}`;
  const store = (buffer: string, where: string, name: string, factor: string) =>
    each((j) => `${element(buffer, where, "row", part + j)} = ${name}[${j}] * ${factor};`);

  /**
   * Streams rows of `a` and `b` past the own one. `body` gets words for element j of row r of the R at hand; `first` is the
   * number of the first; rows past the end repeat the last one.
   */
  type Row = (r: number, j: string) => string;
  const stream = (count: "n" | "m", a: [string, string], b: [string, string], body: (a: Row, b: Row) => string) => {
    if (!shared) {
      const pick =
        (name: string): Row =>
        (_, j) =>
          lanes > 1 ? `subgroupShuffle(${name}[${j}], lane)` : `${name}[${j}]`;
      return `
    ${zeros("a_row")} ${zeros("b_row")}
    for (var block = 0u; block < (p.${count} + ${lanes - 1}u) / ${lanes}u; block++) {
      let mine = min(block * ${lanes}u + li % ${lanes}u, p.${count} - 1u);
      ${each((j) => `a_row[${j}] = ${element(...a, "mine", j)}; b_row[${j}] = ${element(...b, "mine", j)};`)}
      for (var lane = 0u; lane < ${lanes}u; lane++) {
        let first = block * ${lanes}u + lane;
        ${body(pick("a_row"), pick("b_row"))}
      }
    }`;
    }
    const pick =
      (name: string): Row =>
      (r, j) =>
        `${name}[(quarter * 4u + ${r}u) * ${DV}u + ${part}${j}]`;
    return `
    for (var block = 0u; block < (p.${count} + ${tile - 1}u) / ${tile}u; block++) {
      workgroupBarrier(); // the tiles of the block before have been used
      for (var i = 0u; i < ${Math.ceil((tile * DV) / WG)}u; i++) {
        let e = i * ${WG}u + li;
        if (e < ${tile * DV}u) {
          let r = min(block * ${tile}u + e / ${DV}u, p.${count} - 1u);
          a_tile[e] = ${element(...a, "r", `e % ${DV}u`)};
          b_tile[e] = ${element(...b, "r", `e % ${DV}u`)};
        }
      }
      workgroupBarrier();
      for (var quarter = 0u; quarter < ${rolled ? `(min(p.${count} - block * ${tile}u, ${tile}u) + 3u) / 4u` : `${tile / 4}u`}; quarter++) {
        let first = block * ${tile}u + quarter * 4u;
        ${body(pick("a_tile"), pick("b_tile"))}
      }
    }`;
  };

  /** A number per streamed row, `name`r, from storage. */
  const stats = (name: string, buffer: string, count: "n" | "m") =>
    four((r) => `let ${name}${r} = ${buffer}[stats + min(first + ${r}u, p.${count} - 1u)];`);

  /** `name`r = the own row times streamed row r, over this thread's share. */
  const dots = (name: string, mine: string, theirs: Row) => `
      ${four((r) => `var ${name}${r} = 0.0;`)}
      ${eachHot((j) => four((r) => `${name}${r} += ${dot(`${mine}[${j}]`, theirs(r, j))};`))}`;

  /** Adds each vec4f of `names` over the threads of a row. */
  const joinShares = (...names: string[]) =>
    split === 1
      ? ""
      : `
      ${names.map((v, i) => `shares[${i * WG}u + li] = ${v};`).join(" ")}
      workgroupBarrier();
      ${names.map((v, i) => `${v} = ${Array.from({ length: split }, (_, s) => `shares[${i * WG}u + li / ${split}u * ${split}u + ${s}u]`).join(" + ")};`).join(" ")}
      workgroupBarrier(); // shares are written again`;
  const joinDots = (...names: string[]) =>
    split === 1
      ? ""
      : `
      ${names.map((v) => `var ${v}s = vec4f(${four((r) => `${v}${r}`, ", ")});`).join(" ")}
      ${joinShares(...names.map((v) => `${v}s`))}
      ${names.map((v) => four((r) => `${v}${r} = ${v}s[${r}];`)).join(" ")}`;

  /** Adds to `sum` the streamed rows, row r times `weight`r. */
  const gather = (sum: string, weight: string, theirs: Row) =>
    eachHot((j) => `${sum}[${j}] += ${four((r) => `${weight}${r} * ${theirs(r, j)}`, " + ")};`);

  const helpers = !shared
    ? ""
    : `var<workgroup> a_tile: array<${T}, ${tile * DV}>; var<workgroup> b_tile: array<${T}, ${tile * DV}>;
    ${split > 1 ? `var<workgroup> shares: array<vec4f, ${2 * WG}>;` : ""}`;
  const leads = split > 1 ? `owns && li % ${split}u == 0u` : "owns"; // the one thread of a row that writes its numbers
  return {
    T,
    rows,
    WG,
    share,
    helpers,
    own,
    load,
    store,
    zeros,
    stream,
    stats,
    dots,
    dot,
    joinShares,
    joinDots,
    gather,
    leads,
    each,
    eachHot,
    four,
  };
}
