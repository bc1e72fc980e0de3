/**
 * The WGSL of `gemm.ts`'s `shared` kernels, up to the sums: a workgroup per BM x BN tile of C, 8 x 8 of it (4 x 4) to a thread.
 *
 * The workgroup's threads load a slab of A and a slab of B, BK deep, into workgroup memory, both K-major and padded against
 * bank conflicts, and multiply them from there. A thread's rows and columns are fours, as far apart as the workgroup is wide,
 * so that neighbours read neighbouring words. How slabs follow each other:
 *
 *   plain    load, wait, multiply, wait
 *   ahead    the next slab's loads are on their way to registers while this one is multiplied
 *   double   so too, and workgroup memory has room for two: one wait per slab instead of two
 */
import { unroll, unrollLines } from "../shared/unroll.ts";
import { placeOf, rowSums, scaledSum, type Config, type Tile } from "./config.ts";

const PAD = 4;

/** Elements of a slab of `rows`. */
const slabSize = ({ bk }: Tile, rows: number): number => bk * (rows + PAD);

/** Bytes of workgroup memory. */
export const sharedBytes = (t: Tile): number => (t.flow === "double" ? 2 : 1) * 4 * (slabSize(t, t.y * t.tm) + slabSize(t, t.x * t.tn));

/** Declares the workgroup memory. */
export function slabs(t: Tile): string {
  const slab = (name: string, rows: number) => `var<workgroup> ${name}: array<vec4f, ${slabSize(t, rows) / 4}>;`;
  return unroll(t.flow === "double" ? 2 : 1, (i) => slab(`a_tile${i}`, t.y * t.tm) + slab(`b_tile${i}`, t.x * t.tn));
}

/**
 * Declares `m0`, `n0` and the sums: `c{i}_{quad}`, a vec4f of row i of the thread's.
 *
 * The body of `gemm.shared`, flow `plain`, for a tile of 16 x 16 by 4 x 4 threads, 8 deep, A stored as (K, M), in vectors and without
 * edges:
 *
 *     let tile_n = group % p.tiles_n;
 *     let tile_m = group / p.tiles_n % p.tiles_m;
 *     var rest = group / p.tiles_n / p.tiles_m;
 *     let k0 = rest * p.chunk;
 *     let k1 = min(k0 + p.chunk, p.K);
 *     let a_base = p.a_offset; let b_base = p.b_offset; let c_base = rest * p.slab;
 *     let a_row0 = tile_m * 16u; let b_row0 = tile_n * 16u;
 *     let m0 = a_row0 + lid.y * 4u; let n0 = b_row0 + lid.x * 4u;
 *     var c0_0 = vec4f(); var c1_0 = vec4f(); var c2_0 = vec4f(); var c3_0 = vec4f();
 *     var a_next0: vec4f; var a_next1: vec4f; var b_next0: vec4f; var b_next1: vec4f;
 *     for (var k = k0; k < k1; k += 8u) {
 *       { let kk = (li + 0u) / 4u; let row = ((li + 0u) % 4u) * 4u; a_next0 = a[(a_base + (a_row0 + row) + (k + kk) * p.lda) / 4u]; }
 *       { let kk = (li + 16u) / 4u; let row = ((li + 16u) % 4u) * 4u; a_next1 = a[(a_base + (a_row0 + row) + (k + kk) * p.lda) / 4u]; }
 *       { let kk = (li + 0u) / 4u; let row = ((li + 0u) % 4u) * 4u; b_next0 = b[(b_base + (b_row0 + row) + (k + kk) * p.ldb) / 4u]; }
 *       { let kk = (li + 16u) / 4u; let row = ((li + 16u) % 4u) * 4u; b_next1 = b[(b_base + (b_row0 + row) + (k + kk) * p.ldb) / 4u]; }
 *       { let kk = (li + 0u) / 4u; let row = ((li + 0u) % 4u) * 4u; a_tile0[kk * 5u + row / 4u] = a_next0; }
 *       { let kk = (li + 16u) / 4u; let row = ((li + 16u) % 4u) * 4u; a_tile0[kk * 5u + row / 4u] = a_next1; }
 *       { let kk = (li + 0u) / 4u; let row = ((li + 0u) % 4u) * 4u; b_tile0[kk * 5u + row / 4u] = b_next0; }
 *       { let kk = (li + 16u) / 4u; let row = ((li + 16u) % 4u) * 4u; b_tile0[kk * 5u + row / 4u] = b_next1; }
 *       workgroupBarrier();
 *       for (var kk = 0u; kk < 8u; kk++) {
 *         let b0 = b_tile0[kk * 5u + lid.x + 0u];
 *         let a0 = a_tile0[kk * 5u + lid.y + 0u];
 *         c0_0 = fma(vec4f(a0.x), b0, c0_0);
 *         c1_0 = fma(vec4f(a0.y), b0, c1_0);
 *         c2_0 = fma(vec4f(a0.z), b0, c2_0);
 *         c3_0 = fma(vec4f(a0.w), b0, c3_0);
 *       }
 *       workgroupBarrier(); // the slabs are overwritten next
 *     }
 *     {
 *       let m = m0 + 0u; let n = n0 + 0u;
 *       {
 *         let at = c_base + m * p.ldc + n;
 *         var v = c0_0 * p.alpha;
 *         let cell = at / 4u; y[cell] = v;
 *       }
 *     }
 *     {
 *       let m = m0 + 1u; let n = n0 + 0u;
 *       {
 *         let at = c_base + m * p.ldc + n;
 *         var v = c1_0 * p.alpha;
 *         let cell = at / 4u; y[cell] = v;
 *       }
 *     }
 *     {
 *       let m = m0 + 2u; let n = n0 + 0u;
 *       {
 *         let at = c_base + m * p.ldc + n;
 *         var v = c2_0 * p.alpha;
 *         let cell = at / 4u; y[cell] = v;
 *       }
 *     }
 *     {
 *       let m = m0 + 3u; let n = n0 + 0u;
 *       {
 *         let at = c_base + m * p.ldc + n;
 *         var v = c3_0 * p.alpha;
 *         let cell = at / 4u; y[cell] = v;
 *       }
 *     }
 */
export function sharedCode(c: Config): string {
  const {
    tile: { x, y, tm, tn, bk, flow = "plain" },
    aAlongK,
    bAlongK,
    edge,
    tail,
    vec,
    slots,
    scaledK,
    samples,
  } = c;
  const { sums, dots } = slots;
  const bm = y * tm,
    bn = x * tn,
    threads = x * y;
  const W = vec ? 4 : 1;

  const loader = (t: "a" | "b", rows: number, alongK: boolean, size: string) => {
    const per = (alongK ? bk : rows) / W;
    const loads = (rows * bk) / W,
      rounds = Math.ceil(loads / threads),
      whole = loads % threads === 0;
    const place = placeOf(t, c);
    // `s`: which of the slab's loads; `row` and `kk`: where in the slab.
    const where = (r: number) => {
      const s = whole ? `(li + ${r * threads}u)` : `min(li + ${r * threads}u, ${loads - 1}u)`;
      const fast = `(${s} % ${per}u) * ${W}u`,
        slow = `${s} / ${per}u`;
      return `let kk = ${alongK ? fast : slow}; let row = ${alongK ? slow : fast};`;
    };
    // Past the edge the last one is read again, and not used. A vector may begin before the edge and end in the row's padding.
    const last = (count: string, along: boolean) => (along && W > 1 ? `(${count} + 3u) / 4u * 4u - 4u` : `${count} - 1u`);
    const fetch = (r: number, slab: string) => {
      const row = edge ? `min(${t}_row0 + row, ${last(`p.${size}`, !alongK)})` : `(${t}_row0 + row)`;
      const k = tail ? `min(${slab} + kk, ${last("k1", alongK)})` : `(${slab} + kk)`;
      const at = `${t}_base + ${place.row(row)} + ${place.along(k)}`;
      const scaled = t === "a" && scaledK ? ` * scale[${vec ? `(${k}) / 4u` : k}]` : "";
      const stored = alongK ? row : k;
      const factor = t === "a" && samples ? ` * samples[p.samples_at + ${stored} / p.sample_rows]` : "";
      const read = (vec ? `${t}[(${at}) / 4u]` : `${t}[${at}]`) + scaled + factor;
      return `{ ${where(r)} ${t}_next${r} = ${tail ? `select(${vec ? "vec4f()" : "0.0"}, ${read}, ${slab} + kk < k1)` : read}; }`;
    };
    const put = (r: number, half: number) => {
      const stride = rows + PAD;
      const element = (q: number) => {
        const value = vec ? `${t}_next${r}.${"xyzw"[q]}` : `${t}_next${r}`;
        const [k, i] = alongK ? [`kk + ${q}u`, "row"] : ["kk", `row + ${q}u`];
        return `${t}_tile${half}[(${k}) * ${stride / 4}u + (${i}) / 4u][(${i}) % 4u] = ${value};`;
      };
      const text = vec && !alongK ? `${t}_tile${half}[kk * ${stride / 4}u + row / 4u] = ${t}_next${r};` : unroll(W, element);
      return `${whole ? "" : `if (li + ${r * threads}u < ${loads}u)`} { ${where(r)} ${text} }`;
    };
    return {
      declare: unroll(rounds, (r) => `var ${t}_next${r}: ${vec ? "vec4f" : "f32"};`),
      fetch: (slab: string) => unrollLines(rounds, (r) => fetch(r, slab)),
      put: (half: number) => unrollLines(rounds, (r) => put(r, half)),
    };
  };
  const A = loader("a", bm, aAlongK, "a_rows"),
    B = loader("b", bn, bAlongK, "b_rows");
  const fetch = (slab: string) => `${A.fetch(slab)}\n      ${B.fetch(slab)}`;
  const put = (half = 0) => `${A.put(half)}\n      ${B.put(half)}`;

  const part = (t: "a" | "b", quad: number, rows: number, id: string, half: number) => {
    const width = t === "a" ? y : x;
    return `let ${t}${quad} = ${t}_tile${half}[kk * ${(rows + PAD) / 4}u + ${id} + ${quad * width}u];`;
  };
  // The first workgroup of a row of tiles also adds up what it has of A, some rows to a thread.
  const rowsOf = Math.ceil(bm / threads);
  const own = (r: number) => `min(li + ${r * threads}u, ${bm - 1}u)`;
  const addUp = (half: number, slab: string) => {
    const at = `a_tile${half}[kk * ${(bm + PAD) / 4}u + own / 4u][own % 4u]`;
    const place = placeOf("a", c);
    const row = edge ? "min(a_row0 + own, p.a_rows - 1u)" : "(a_row0 + own)";
    const k = tail ? `min(${slab} + kk, k1 - 1u)` : `(${slab} + kk)`;
    const dot = `few_dots += ${at} * dots_with[a_base + ${place.row(row)} + ${place.along(k)}];`;
    return /* wgsl */ `
      if (tile_n == 0u) {
        ${unroll(
          rowsOf,
          (r) => `{
        let own = ${own(r)};
        ${rowSums(slots, "var few = 0.0;", "var few_dots = 0.0;")}
        for (var kk = 0u; kk < ${bk}u; kk++) { ${rowSums(slots, `few += ${at};`, dot)} }
        ${rowSums(slots, `total${r} += few;`, `total_dots${r} += few_dots;`)}
        }`,
        )}
      }`;
  };
  const write = (to: string, total: string, scaled: (m: string) => string) =>
    unroll(rowsOf, (r) => {
      const own = `li + ${r * threads}u`,
        m = `a_row0 + ${own}`;
      return `if (tile_n == 0u && ${own} < ${bm}u && ${m} < p.M) { ${to}[rest * p.M + ${m}] = ${total}${r}${scaled(m)}; }`;
    });
  const multiply = (half = 0, slab = "k") => /* wgsl */ `
      ${sums || dots ? addUp(half, slab) : ""}
      for (var kk = 0u; kk < ${bk}u; kk++) {
        ${unroll(tn / 4, (quad) => part("b", quad, bn, "lid.x", half))}
        ${unroll(tm / 4, (quad) => part("a", quad, bm, "lid.y", half))}
        ${unroll(tm, (i) => unroll(tn / 4, (quad) => `c${i}_${quad} = fma(vec4f(a${Math.floor(i / 4)}.${"xyzw"[i % 4]}), b${quad}, c${i}_${quad});`), "\n        ")}
      }`;

  const next = (slab: string) => `if (${slab} < k1) { ${fetch(slab)} }`;
  const walk = {
    plain: /* wgsl */ `
    for (var k = k0; k < k1; k += ${bk}u) {
      ${fetch("k")}
      ${put()}
      workgroupBarrier();
      ${multiply()}
      workgroupBarrier(); // the slabs are overwritten next
    }`,
    ahead: /* wgsl */ `
    ${fetch("k0")}
    for (var k = k0; k < k1; k += ${bk}u) {
      ${put()}
      workgroupBarrier();
      let after = k + ${bk}u;
      ${next("after")}
      ${multiply()}
      workgroupBarrier(); // the slabs are overwritten next
    }`,
    double: /* wgsl */ `
    ${fetch("k0")}
    ${put(0)}
    workgroupBarrier();
    for (var k = k0; k < k1; k += ${2 * bk}u) {
      let second = k + ${bk}u;
      ${next("second")}
      ${multiply(0)}
      if (second >= k1) { break; }
      ${put(1)}
      workgroupBarrier();
      let third = k + ${2 * bk}u;
      ${next("third")}
      ${multiply(1, "second")}
      if (third < k1) { ${put(0)} }
      workgroupBarrier();
    }`,
  };
  return /* wgsl */ `
    let a_row0 = tile_m * ${bm}u; let b_row0 = tile_n * ${bn}u;
    let m0 = a_row0 + lid.y * 4u; let n0 = b_row0 + lid.x * 4u;
    ${unroll(tm, (i) => unroll(tn / 4, (quad) => `var c${i}_${quad} = vec4f();`))}
    ${A.declare} ${B.declare}
    ${sums ? unroll(rowsOf, (r) => `var total${r} = 0.0;`) : ""}${dots ? unroll(rowsOf, (r) => ` var total_dots${r} = 0.0;`) : ""}
    ${walk[flow]}
    ${rowSums(
      slots,
      write("sums", "total", (m) => scaledSum(slots, m)),
      write("dots", "total_dots", () => ""),
    )}`;
}
