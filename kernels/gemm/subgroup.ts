/**
 * The WGSL of `gemm.ts`'s `subgroup` kernels, up to the sums: a workgroup, which is one subgroup, per TM x (lanes * TN) tile of C, a thread
 * per TM x TN of it.
 *
 * A thread's columns are its own; rows are all its subgroup's. So each lane loads one row's element of A and they pass it around,
 * where `register` kernels load it in every lane: processors load lane by lane, and loads are most of what a product costs them.
 * Nothing else is shared, and there are no barriers.
 */
import { unroll, unrollLines } from "../shared/unroll.ts";
import { placeOf, scaledSum, type Config } from "./config.ts";

const commonDivisor = (a: number, b: number): number => (b === 0 ? a : commonDivisor(b, a % b));

/**
 * Rows and columns past the edge read the last one, and are not written.
 *
 * The body of `gemm.subgroup` for threads of 2 x 4 elements in subgroups of 8, op(A) = A, op(B) = B, no edges:
 *
 *     let tile_n = group % p.tiles_n;
 *     let tile_m = group / p.tiles_n % p.tiles_m;
 *     var rest = group / p.tiles_n / p.tiles_m;
 *     let k0 = rest * p.chunk;
 *     let k1 = min(k0 + p.chunk, p.K);
 *     let a_base = p.a_offset; let b_base = p.b_offset; let c_base = rest * p.slab;
 *     let m0 = tile_m * 2u;
 *     let n0 = tile_n * 32u + 4u * subgroup_lane;
 *     let a_at0 = a_base + (m0 + 0u + subgroup_lane % 2u) * p.lda;
 *     let b_at0 = b_base + (n0 + 0u);
 *     var c0 = 0.0; var c1 = 0.0; var c2 = 0.0; var c3 = 0.0; var c4 = 0.0; var c5 = 0.0; var c6 = 0.0; var c7 = 0.0;
 *     for (var k = k0; k < k1; k++) {
 *       let ak = k; let bk = k * p.ldb;
 *       let a0 = a[a_at0 + ak];
 *       let b0 = b[(b_at0 + bk) / 4u];
 *       { let row = subgroupBroadcast(a0, 0u); c0 = fma(row, b0.x, c0); c1 = fma(row, b0.y, c1); c2 = fma(row, b0.z, c2); c3 = fma(row, b0.w, c3); }
 *       { let row = subgroupBroadcast(a0, 1u); c4 = fma(row, b0.x, c4); c5 = fma(row, b0.y, c5); c6 = fma(row, b0.z, c6); c7 = fma(row, b0.w, c7); }
 *     }
 *     var cells = array<vec4f, 2>(vec4f(c0, c1, c2, c3), vec4f(c4, c5, c6, c7));
 *     for (var e = 0u; e < select(2u, 0u, p.M == 0u); e++) {
 *       let m = m0 + e / 1u; let n = n0 + (e % 1u) * 32u;
 *       {
 *         let at = c_base + m * p.ldc + n;
 *         var v = cells[e] * p.alpha;
 *         let cell = at / 4u; y[cell] = v;
 *       }
 *     }
 */
export function subgroupCode(c: Config): string {
  const {
    tile: { x: lanes, tm, tn },
    edge,
    vec,
    vecB,
    scaledK,
    slots,
  } = c;
  const { sums, dots } = slots;
  const a = placeOf("a", c),
    b = placeOf("b", c);
  const last = (i: string, size: string, width = 1) => (edge ? `min(${i}, p.${size} - ${width}u)` : `(${i})`);
  const across = vecB ? tn / 4 : tn;
  // Of a thread's j-th load of B: a column, or four of them.
  const column = (j: number) =>
    vecB ? `n0 + ${4 * j * lanes}u` : vec ? `n0 + ${Math.floor(j / 4) * 4 * lanes + (j % 4)}u` : `n0 + ${j * lanes}u`;
  // Rows that lanes load at once; where there are more lanes, several load the same.
  const per = commonDivisor(tm, lanes);
  const own = (g: number) => `m0 + ${g * per}u + ${per < lanes ? `subgroup_lane % ${per}u` : "subgroup_lane"}`;
  const value = (j: number) => (vecB ? `b${Math.floor(j / 4)}.${"xyzw"[j % 4]}` : `b${j}`);
  const rows = (text: (g: number) => string) => unroll(tm / per, text);
  // A loop of its own, which only the first workgroup of a row of tiles runs.
  const dotsOfRows = () => /* wgsl */ `
    if (tile_n == 0u) {
      ${rows((g) => `var dot${g} = 0.0;`)}
      for (var k = k0; k < k1; k++) {
        ${rows((g) => `let at${g} = a_at${g} + ${a.along("k")}; dot${g} += a[at${g}] * dots_with[at${g}];`)}
      }
      ${rows((g) => `if (${own(g)} < p.M) { dots[rest * p.M + ${own(g)}] = dot${g}; }`)}
    }`;
  return /* wgsl */ `
    let m0 = tile_m * ${tm}u;
    let n0 = tile_n * ${lanes * tn}u + ${vec ? "4u * " : ""}subgroup_lane;
    ${rows((g) => `let a_at${g} = a_base + ${a.row(last(own(g), "a_rows"))};`)}
    ${unroll(across, (j) => `let b_at${j} = b_base + ${b.row(last(column(j), "b_rows", vecB ? 4 : 1))};`)}
    ${unroll(tm * tn, (e) => `var c${e} = 0.0;`)}
    ${sums ? rows((g) => `var total${g} = 0.0;`) : ""}${dots ? dotsOfRows() : ""}
    for (var k = k0; k < k1; k++) {
      let ak = ${a.along("k")}; let bk = ${b.along("k")};
      ${rows((g) => `let a${g} = a[a_at${g} + ak]${scaledK ? " * scale[k]" : ""};${sums ? ` total${g} += a${g};` : ""}`)}
      ${unroll(across, (j) => `let b${j} = b[${vecB ? `(b_at${j} + bk) / 4u` : `b_at${j} + bk`}];`)}
      ${unrollLines(tm, (i) => `{ let row = subgroupBroadcast(a${Math.floor(i / per)}, ${i % per}u); ${unroll(tn, (j) => `c${i * tn + j} = fma(row, ${value(j)}, c${i * tn + j});`)} }`)}
    }
    ${sums ? rows((g) => `if (tile_n == 0u && ${own(g)} < p.M) { sums[rest * p.M + ${own(g)}] = total${g}${scaledSum(slots, own(g))}; }`) : ""}`;
}
