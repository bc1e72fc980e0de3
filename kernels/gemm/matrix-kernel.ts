/**
 * The WGSL of `matrix.ts`: a tile of a product by subgroup matrices, which run on a GPU's tensor cores.
 *
 * A workgroup stages slabs of A and B in workgroup memory as they lie in memory, transposed or not: the load of a subgroup matrix
 * takes either order. Each subgroup keeps its part of C in matrices of f32 and hands it over through workgroup memory at the end.
 *
 * Language: https://github.com/gpuweb/gpuweb/blob/main/proposals/subgroup-matrix.md, a draft; Dawn has had two forms of it.
 */
import { defineKernel, kernelFamily, type Elem } from "../../engine/kernel.ts";
import { SUBGROUP_MATRIX } from "../../engine/wgsl.ts";
import { finish, productParams, slotBuffers, slotHelpers, slotInputs } from "./kernels.ts";
import { range, unroll, unrollLines } from "../shared/unroll.ts";
import { tileWgsl } from "./config.ts";
import { divides, handOverIn, patchOf, slabOf, slabsOf, sumsIn, sumThreads, wordOf, type MatrixConfig } from "./matrix-tile.ts";

/** One word of a slab per thread and round: where it lies in the slab (its part, and its place there) and in memory, at k = 0. */
function places(t: "a" | "b", c: MatrixConfig, threads: number): string {
  const { alongK, own, per, pitch, loads } = slabOf(t, c);
  const word = wordOf(c.shape),
    rows = `p.${t}_rows`;
  return unrollLines(Math.ceil(loads / threads), (r) => {
    const s = `(li + ${r * threads}u)`,
      line = `${s} / ${per}u`,
      at = `${s} % ${per}u`;
    // Past the edge the last row or column is read; its results are not written. A word may end in a row's padding.
    const inside = (row: string, last: string) => (c.edge ? `min(${row}, ${last})` : row);
    return alongK
      ? `let ${t}_part${r} = ${line} / ${own}u; let ${t}_to${r} = ${line} % ${own}u * ${pitch}u + ${at}; let ${t}_k${r} = ${at} * ${word}u; let ${t}_from${r} = ${t}_base / ${word}u + (${inside(`${t}_row0 + ${line}`, `${rows} - 1u`)}) * ld${t} + ${at};`
      : `let ${t}_part${r} = ${at} / ${own / word}u; let ${t}_to${r} = ${line} * ${pitch}u + ${at} % ${own / word}u; let ${t}_k${r} = ${line}; let ${t}_from${r} = ${t}_base / ${word}u + ${inside(`${t}_row0 / ${word}u + ${at}`, `(${rows} - 1u) / ${word}u`)} + ${line} * ld${t};`;
  });
}

/** WGSL of `each` for every round of loads; in a partial last round only some threads load. */
function rounds(t: "a" | "b", c: MatrixConfig, threads: number, each: (r: number) => string): string {
  const { loads } = slabOf(t, c);
  return unrollLines(Math.ceil(loads / threads), (r) =>
    (r + 1) * threads <= loads ? each(r) : `if (li + ${r * threads}u < ${loads}u) { ${each(r)} }`,
  );
}

/**
 * The body for one 8x8x8 matrix of f32 by a subgroup of 32 in a workgroup, without edges, `plain`, stored directly:
 *
 *     let tile_n = group % p.tiles_n;
 *     let tile_m = group / p.tiles_n % p.tiles_m;
 *     var rest = group / p.tiles_n / p.tiles_m;
 *     let k0 = rest * p.chunk;
 *     let k1 = min(k0 + p.chunk, p.K);
 *     let a_base = p.a_offset; let b_base = p.b_offset; let c_base = rest * p.slab;
 *     let lda = p.lda / 4u; let ldb = p.ldb / 4u; // in words
 *     let a_row0 = tile_m * 8u; let b_row0 = tile_n * 8u;
 *     let a_part0 = (li + 0u) / 2u / 8u; let a_to0 = (li + 0u) / 2u % 8u * 3u + (li + 0u) % 2u; let a_k0 = (li + 0u) % 2u * 4u; let a_from0 = a_base / 4u + (a_row0 + (li + 0u) / 2u) * lda + (li + 0u) % 2u;
 *     let b_part0 = (li + 0u) % 2u / 2u; let b_to0 = (li + 0u) / 2u * 3u + (li + 0u) % 2u % 2u; let b_k0 = (li + 0u) / 2u; let b_from0 = b_base / 4u + b_row0 / 4u + (li + 0u) % 2u + (li + 0u) / 2u * ldb;
 *     var a_in0: vec4f; var b_in0: vec4f;
 *     let part_m = subgroup_number / 1u; let part_n = subgroup_number % 1u;
 *     var c0_0: Result;
 *     for (var k = k0; k < k1; k += 8u) {
 *       if (li + 0u < 16u) { a_in0 = a[a_from0 + k / 4u]; }
 *       if (li + 0u < 16u) { b_in0 = b[b_from0 + k * ldb]; }
 *       if (li + 0u < 16u) { a_slab[a_part0][a_to0] = a_in0; }
 *       if (li + 0u < 16u) { b_slab[b_part0][b_to0] = b_in0; }
 *       workgroupBarrier();
 *       let a_mine = &a_slab[part_m]; let b_mine = &b_slab[part_n];
 *       let b0_0 = subgroupMatrixLoad<Right, row_major>(b_mine, 0u, 3u);
 *       let a0_0 = subgroupMatrixLoad<Left, row_major>(a_mine, 0u, 3u); c0_0 = subgroupMatrixMultiplyAccumulate(a0_0, b0_0, c0_0);
 *       workgroupBarrier(); // the slab is overwritten next
 *     }
 *     let m0 = a_row0 + part_m * 8u; let n0 = b_row0 + part_n * 8u;
 *     subgroupMatrixStore<row_major>(&y, c_base + (m0 + 0u) * p.ldc + n0 + 0u, c0_0, p.ldc);
 */
export const matrixKernel = kernelFamily((c: MatrixConfig) => {
  const { shape, tile, syntax, words, lanes, sized, rank, edge, tail, direct, slots } = c;
  const { M, N, K, input } = shape;
  const { bm, bn, bk, gm, gn, staging } = tile;
  if (!divides(shape, tile))
    throw new Error(`gemm.matrix: expected a tile of whole ${M}x${N}x${K} matrices, got ${bm}x${bn}x${bk} for ${gm}x${gn} subgroups`);
  if (slots.sums && sumThreads(c) === 0) throw new Error("gemm.matrix: expected sums of a transposed A, by a tile that can make them");
  const threads = gm * gn * lanes,
    word = wordOf(shape);
  const own = { m: bm / gm, n: bn / gn };
  const [TM, TN] = [own.m / M, own.n / N];
  const a = slabOf("a", c),
    b = slabOf("b", c),
    patch = patchOf(c);
  const Word = input === "f16" ? "vec4u" : "vec4f";
  const unit = words ? word : 1; // elements per array element
  const element = words ? Word : input;

  const load = (type: string, from: string, at: number, rowMajor: boolean, stride: number) =>
    syntax === "majorness"
      ? `subgroupMatrixLoad<${type}, ${rowMajor ? "row_major" : "col_major"}>(${from}, ${at}u, ${stride}u)`
      : `subgroupMatrixLoad<${type}>(${from}, ${at}u, ${String(!rowMajor)}, ${stride}u)`;
  const store = (to: string, at: string, value: string, stride: string) =>
    syntax === "majorness"
      ? `subgroupMatrixStore<row_major>(&${to}, ${at}, ${value}, ${stride});`
      : `subgroupMatrixStore(&${to}, ${at}, ${value}, false, ${stride});`;

  const lanesOf = ["x", "y", "z", "w"];
  const put = (part: string, at: string, value: string) =>
    words
      ? `${part}[${at}] = ${value};`
      : input === "f32"
        ? lanesOf.map((q, i) => `${part}[${at} * 4u + ${i}u] = ${value}.${q};`).join(" ")
        : `{ let lo = bitcast<vec4h>(${value}.xy); let hi = bitcast<vec4h>(${value}.zw); ${range(8)
            .map((i) => `${part}[${at} * 8u + ${i}u] = ${i < 4 ? "lo" : "hi"}.${lanesOf[i % 4]};`)
            .join(" ")} }`;

  const operands = [
    ["a", a],
    ["b", b],
  ] as const;
  const stepOf = (t: "a" | "b", k: string) => ((t === "a" ? a : b).alongK ? `${k} / ${word}u` : `${k} * ld${t}`);
  const read = (t: "a" | "b", r: number, k: string) =>
    tail
      ? `${t}_in${r} = ${Word}(); if (${k} + ${t}_k${r} < k1) { ${t}_in${r} = ${t}[${t}_from${r} + ${stepOf(t, k)}]; }`
      : `${t}_in${r} = ${t}[${t}_from${r} + ${stepOf(t, k)}];`;
  const reads = (k: string) => operands.map(([t]) => rounds(t, c, threads, (r) => read(t, r, k))).join("\n      ");
  const addUp = (r: number) =>
    input === "f32"
      ? ` a_sum0 += a_in${r};`
      : ` a_sum0 += vec4f(bitcast<vec4h>(a_in${r}.xy)); a_sum1 += vec4f(bitcast<vec4h>(a_in${r}.zw));`;
  const writes = (which: string) =>
    operands
      .map(([t, s]) =>
        rounds(
          t,
          c,
          threads,
          (r) =>
            put(`${t}_slab[${which ? `${which} * ${s.parts}u + ` : ""}${t}_part${r}]`, `${t}_to${r}`, `${t}_in${r}`) +
            (slots.sums && t === "a" ? addUp(r) : ""),
        ),
      )
      .join("\n      ");
  const inputs = operands.map(([t, s]) => unroll(Math.ceil(s.loads / threads), (r) => `var ${t}_in${r}: ${Word};`)).join(" ");

  // Where matrix `i` of a part begins, and its lines' distance, in array elements.
  const offset = (s: typeof a, i: number, size: number, k: number) =>
    (s.alongK ? i * size * s.pitch * word + k : k * s.pitch * word + i * size) / unit;
  const multiply = (which: string) => `
      ${operands.map(([t, s]) => `let ${t}_mine = &${t}_slab[${which ? `${which} * ${s.parts}u + ` : ""}part_${t === "a" ? "m" : "n"}];`).join(" ")}
      ${unrollLines(bk / K, (q) => {
        const right = (j: number) =>
          `let b${q}_${j} = ${load("Right", "b_mine", offset(b, j, N, q * K), !b.alongK, (b.pitch * word) / unit)};`;
        const left = (i: number) =>
          `let a${q}_${i} = ${load("Left", "a_mine", offset(a, i, M, q * K), a.alongK, (a.pitch * word) / unit)};`;
        return `${unrollLines(TN, right)}\n      ${unrollLines(TM, (i) => `${left(i)} ${unroll(TN, (j) => `c${i}_${j} = subgroupMatrixMultiplyAccumulate(a${q}_${i}, b${q}_${j}, c${i}_${j});`)}`)}`;
      })}`;

  const loop = {
    plain: `
    for (var k = k0; k < k1; k += ${bk}u) {
      ${reads("k")}
      ${writes("")}
      workgroupBarrier();
      ${multiply("")}
      workgroupBarrier(); // the slab is overwritten next
    }`,
    ahead: `
    ${reads("k0")}
    for (var k = k0; k < k1; k += ${bk}u) {
      ${writes("")}
      workgroupBarrier();
      let next = k + ${bk}u;
      if (next < k1) {
      ${reads("next")}
      }
      ${multiply("")}
      workgroupBarrier();
    }`,
    double: `
    ${reads("k0")}
    ${writes("")}
    workgroupBarrier();
    var now = 0u; // which slab is multiplied
    for (var k = k0; k < k1; k += ${bk}u) {
      let next = k + ${bk}u;
      if (next < k1) {
      ${reads("next")}
      }
      ${multiply("now")}
      now = 1u - now;
      if (next < k1) {
      ${writes("now")}
      }
      workgroupBarrier();
    }`,
  }[staging];

  // The threads of four columns of A's, one after another.
  const halves = word / 4,
    perColumn = sumThreads(c);
  const sumAt = (i: string) => (sumsIn(c) === "own" ? `sum_parts[${i}]` : `a_slab[(${i}) / ${a.part}u][(${i}) % ${a.part}u]`);
  const asWord = (v: string) => (sumsIn(c) === "a" && Word === "vec4u" ? `bitcast<vec4u>(${v})` : v);
  const asFloats = (v: string) => (sumsIn(c) === "a" && Word === "vec4u" ? `bitcast<vec4f>(${v})` : v);
  const sumsCode = `
    if (tile_n == 0u) { ${unroll(halves, (h) => `${sumAt(`li + ${h * threads}u`)} = ${asWord(`a_sum${h}`)};`)} }
    workgroupBarrier();
    if (tile_n == 0u && li < ${bm / 4}u) {
      var total = vec4f();
      for (var g = 0u; g < ${perColumn}u; g++) { total += ${asFloats(sumAt(`li % ${halves}u * ${threads}u + g * ${a.per}u + li / ${halves}u`))}; }
      for (var q = 0u; q < 4u; q++) { if (a_row0 + li * 4u + q < p.M) { sums[rest * p.M + a_row0 + li * 4u + q] = total[q]; } }
    }
    workgroupBarrier();`;

  // Each subgroup hands over M rows by `patch.cols` columns at a time.
  const home = handOverIn(c),
    memory = home === "own" ? "patches" : `${home}_slab`;
  const floats = words ? 4 : 1; // in an element of `memory`
  const perRow = patch.cols / 4,
    cells = M * perRow;
  const four = (e: string) =>
    !words
      ? `vec4f(patches[subgroup_number][${e} * 4u], patches[subgroup_number][${e} * 4u + 1u], patches[subgroup_number][${e} * 4u + 2u], patches[subgroup_number][${e} * 4u + 3u])`
      : home !== "own" && Word === "vec4u"
        ? `bitcast<vec4f>(${memory}[subgroup_number][${e}])`
        : `${memory}[subgroup_number][${e}]`;
  const handOver = `
    ${unroll(
      TM,
      (i) =>
        unroll(
          own.n / patch.cols,
          (g) => `
    ${unroll(patch.cols / N, (j) => store(`${memory}[subgroup_number]`, `${(j * N) / floats}u`, `c${i}_${(g * patch.cols) / N + j}`, `${patch.pitch / floats}u`))}
    workgroupBarrier();
    for (var r = 0u; r < ${Math.ceil(cells / lanes)}u; r++) {
      let e = subgroup_lane + r * ${lanes}u;
      let m = m0 + ${i * M}u + e / ${perRow}u; let n = n0 + ${g * patch.cols}u + e % ${perRow}u * 4u;
      if (${[cells % lanes === 0 ? "" : `e < ${cells}u`, edge ? "m < p.M && n < p.N" : ""].filter(Boolean).join(" && ") || "true"}) {
        let e4 = e / ${perRow}u * ${patch.pitch / 4}u + e % ${perRow}u;
        let at = c_base + m * p.ldc + n;
        var v = ${four("e4")} * p.alpha;
        ${finish(slots, true)}
      }
    }
    workgroupBarrier();`,
          "",
        ),
      "",
    )}`;
  const storeAll = unrollLines(TM, (i) =>
    unroll(TN, (j) => store("y", `c_base + (m0 + ${i * M}u) * p.ldc + n0 + ${j * N}u`, `c${i}_${j}`, "p.ldc")),
  );

  return defineKernel({
    name: "gemm.matrix",
    needs: [SUBGROUP_MATRIX, "subgroups"],
    subgroupSize: sized ? lanes : undefined,
    inputs: { a: Word, b: Word, ...slotInputs(slots, "vec4f") } as Readonly<Record<string, Elem | `${Elem}?`>>, // (batch, M, K) or (batch, K, M); (batch, K, N) or (batch, N, K)
    ...slotBuffers(slots, "vec4f", direct ? "f32" : "vec4f"), // (splits, batch, M, N)
    params: productParams(rank, slots),
    workgroup: threads,
    helpers: `
    alias Left = subgroup_matrix_left<${input}, ${K}, ${M}>;
    alias Right = subgroup_matrix_right<${input}, ${N}, ${K}>;
    alias Result = subgroup_matrix_result<f32, ${N}, ${M}>;
    ${operands.map(([t, x]) => `var<workgroup> ${t}_slab: array<array<${element}, ${(x.part * word) / unit}>, ${x.parts * slabsOf(tile)}>;`).join(" ")}
    ${direct || home !== "own" ? "" : `var<workgroup> patches: array<array<${words ? "vec4f" : "f32"}, ${patch.floats / floats}>, ${gm * gn}>;`}
    ${slots.sums && sumsIn(c) === "own" ? `var<workgroup> sum_parts: array<vec4f, ${halves * threads}>;` : ""}
    ${slotHelpers(slots)}`,
    code: /* wgsl */ `
    ${tileWgsl(rank, slots.into)}
    let lda = p.lda / ${word}u; let ldb = p.ldb / ${word}u; // in words
    let a_row0 = tile_m * ${bm}u; let b_row0 = tile_n * ${bn}u;
    ${places("a", c, threads)}
    ${places("b", c, threads)}
    ${inputs}
    let part_m = subgroup_number / ${gn}u; let part_n = subgroup_number % ${gn}u;
    ${unrollLines(TM, (i) => unroll(TN, (j) => `var c${i}_${j}: Result;`))}
    ${slots.sums ? unroll(halves, (h) => `var a_sum${h} = vec4f();`) : ""}
    ${loop}
    ${slots.sums ? sumsCode : ""}
    let m0 = a_row0 + part_m * ${own.m}u; let n0 = b_row0 + part_n * ${own.n}u;
    ${direct ? storeAll : handOver}`,
  });
});
