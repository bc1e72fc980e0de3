/**
 * The step of the tensor cores: which subgroup matrices there are, whether products by them are right, how fast each tile is.
 * A kernel that does not compile or is wrong is printed with the reason and stops nothing; a lost device is opened anew.
 */
import { SUBGROUP_MATRIX } from "../../engine/wgsl.ts";
import { closeDevice, getDevice } from "../../engine/device.ts";
import { trimPool } from "../../engine/launch.ts";
import type { Tensor } from "../../engine/tensor.ts";
import { gemm } from "../../kernels/gemm/gemm.ts";
import {
  matricesOf,
  matrixProduct,
  matrixRefuses,
  probeMatrix,
  type MatrixProduct,
  type Probed,
  type SubgroupMatrix,
} from "../../kernels/gemm/matrix.ts";
import { round } from "../stats.ts";
import { fault, nameOf, operands, type Sizes } from "./matrix-products.ts";
import { variants, type Variant } from "./matrix-variants.ts";
import { compile, once, race, reasonOf } from "./race.ts";
import { open, read, save, stopwatch, TOGGLES, type Run } from "./step.ts";

export interface Timing {
  /** MxNxK and how the operands are stored. */
  readonly product: string;
  readonly variant: string;
  readonly ms: number | null;
  readonly tflops: number | null;
  /** Why there is no time. */
  readonly out?: string;
}

export interface MatrixResult {
  readonly toggles: readonly string[];
  readonly matrices: readonly SubgroupMatrix[];
  readonly subgroups: string;
  readonly probed: Probed | null;
  readonly checks: readonly { readonly what: string; readonly fault: string | null }[];
  readonly timings: readonly Timing[];
  /** The fastest tile of each product, right ones only. */
  readonly best: readonly Timing[];
  readonly lost: readonly string[];
}

const ORDINARY = "the ordinary kernel";

/** Kernels that are compiled together and then raced; fewer in a short run, so that it ends with a result. */
const batchOf = ({ seconds }: Run): number => (isShort({ seconds }) ? 6 : 24);
const isShort = ({ seconds }: Pick<Run, "seconds">): boolean => seconds < 30;

export async function matrix(run: Run, toggles: "matrix" | "matrixUnsafe" = "matrix"): Promise<void> {
  const step = toggles === "matrix" ? "matrix" : "matrix-unsafe";
  const over = stopwatch(run.seconds);
  let device = await open(toggles, run);
  const { subgroupMinSize: least, subgroupMaxSize: most } = device.gpu.adapterInfo;
  const state = {
    probed: null as Probed | null,
    checks: [] as { what: string; fault: string | null }[],
    timings: [] as Timing[],
    lost: [] as string[],
  };
  const best = (): Timing[] =>
    [...new Set(state.timings.map((t) => t.product))]
      .map(
        (product) =>
          state.timings
            .filter((t) => t.product === product && t.ms !== null && t.variant !== ORDINARY)
            .toSorted((a, b) => a.ms! - b.ms!)[0],
      )
      .filter((t) => t !== undefined);
  const keep = () =>
    save(run.out, step, {
      adapter: device.adapter,
      toggles: TOGGLES[toggles],
      matrices: matricesOf(device),
      subgroups: `${least} to ${most}`,
      ...state,
      best: best(),
    } satisfies MatrixResult & { adapter: unknown });

  /** Runs `body`; a device lost in it is opened anew. Returns why it failed. */
  const attempt = async (what: string, body: () => Promise<unknown>): Promise<string | null> => {
    try {
      await body();
      getDevice().check();
      return null;
    } catch (error) {
      const reason = reasonOf(error);
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (device.lostError) {
        state.lost.push(what);
        console.log(`LOST by ${what}: ${device.lostError.message}`);
        keep();
        if (state.lost.length > 3) throw device.lostError;
        closeDevice();
        device = await open(toggles, run);
      }
      return reason;
    }
  };

  console.log(
    `subgroups of ${least} to ${most}; matrices: ${
      matricesOf(device)
        .map((c) => `${c.M}x${c.N}x${c.K} ${c.componentType} to ${c.resultComponentType}`)
        .join(", ") || "none"
    }; workgroup memory ${device.limits.maxComputeWorkgroupStorageSize}`,
  );
  const failed = await attempt("the probe", async () => {
    state.probed = await probeMatrix(!isShort(run));
  });
  keep();
  if (!device.features.has(SUBGROUP_MATRIX)) {
    // nothing to measure
    console.log(`not run: ${state.probed?.reason ?? failed}`);
    return;
  }
  if (failed || !state.probed?.setup)
    throw new Error(`gpu: expected ${SUBGROUP_MATRIX} to multiply rightly, got ${failed ?? state.probed?.reason}`);
  for (const t of state.probed.tried)
    console.log(`${t.shape.M}x${t.shape.N}x${t.shape.K} ${t.shape.input}, ${t.syntax}${t.words ? ", words" : ""}: ${t.fault ?? "right"}`);
  const { setup } = state.probed;

  // Edges, tails and everything that is done to an element, by tiles of each kind.
  const all = variants(state.probed, run.smoke);
  const sizes = (["NN", "NT", "TN"] as const).map((order): Sizes => ({ M: order === "TN" ? 264 : 257, N: 136, K: 200, order }));
  const kinds = run.smoke
    ? all.slice(0, 3)
    : [...new Set([all[0], ...(["ahead", "plain"] as const).map((staging) => all.find((v) => v.tile.staging === staging))])].filter(
        (v) => v !== undefined,
      );
  for (const v of isShort(run) ? kinds.slice(0, 1) : kinds) {
    for (const s of sizes) {
      if (over()) break;
      const what = `${nameOf(s)} by ${v.name}`;
      let wrong: string | null = null;
      const error = await attempt(what, async () => {
        const o = operands(s, v.setup.shape.input);
        const product: MatrixProduct = { a: o.a, b: o.b, ta: s.order[0] === "T", tb: s.order[1] === "T", M: s.M, N: s.N, K: s.K };
        wrong = fault(await once(() => matrixProduct(v.setup, v.tile, product)), o, s);
        if (!wrong && v === all[0] && setup.shape.input === "f16")
          wrong = fault(await once(() => matrixProduct(v.setup, v.tile, { ...product, store: "f16" })), o, s);
        o.a.dispose();
        o.b.dispose();
      });
      state.checks.push({ what, fault: error ?? wrong });
      if (error ?? wrong) console.log(`WRONG ${what}: ${error ?? wrong}`);
    }
  }
  console.log(`${state.checks.filter((c) => !c.fault).length} of ${state.checks.length} checks right`);
  keep();

  const square = run.smoke ? 128 : 4096;
  const orders = ["NN", "NT", "TN"] as const;
  const shapes: Sizes[] = [
    ...orders.map((order): Sizes => ({ M: square, N: square, K: square, order })),
    ...(["NT", "NN", "TN"] as const).flatMap((order) =>
      (run.smoke
        ? [[200, 96, 64]]
        : [
            [12608, 1536, 384],
            [50432, 3072, 768],
          ]
      ).map(([M, N, K]): Sizes => ({ M: M!, N: N!, K: K!, order })),
    ),
  ];
  // Unsafe: the fastest of the safe run.
  const known = toggles === "matrix" ? null : read<MatrixResult>(run.out, "matrix");
  const fastest =
    known?.timings
      .filter((t) => t.product === nameOf(shapes[0]!) && t.ms !== null)
      .toSorted((x, y) => x.ms! - y.ms!)
      .slice(0, isShort(run) ? 3 : 10)
      .map((t) => t.variant) ?? [];
  let contenders = known ? all.filter((v) => fastest.includes(v.name)) : all;
  if (contenders.length === 0) contenders = all;
  for (const [i, s] of shapes.entries()) {
    if (over()) break;
    const { M, N, K } = s;
    const o = operands(s, setup.shape.input);
    let lostBefore = state.lost.length;
    const product = { ta: s.order[0] === "T", tb: s.order[1] === "T", M, N, K };
    const note = (variant: string, ms: number | null, out?: string) => {
      const t: Timing = {
        product: nameOf(s),
        variant,
        ms: ms === null ? null : round(ms),
        tflops: ms === null ? null : round((2 * M * N * K) / ms / 1e9),
        ...(out ? { out } : {}),
      };
      state.timings.push(t);
      console.log(`${t.product}  ${variant}: ${ms === null ? out : `${t.ms} ms, ${t.tflops} TFLOP/s`}`);
      keep();
    };
    let { a, b } = o;
    const again = () => {
      // after a loss
      if (state.lost.length === lostBefore) return;
      lostBefore = state.lost.length;
      ({ a, b } = operands(s, setup.shape.input));
    };
    const fits = contenders.filter((v) => {
      const refuses =
        matrixRefuses(v.setup, v.tile, { ...product, direct: v.direct }, getDevice()) ??
        (v.direct && (M % v.tile.bm !== 0 || N % v.tile.bn !== 0) ? "it stores whole tiles only" : null);
      if (refuses && i === 0) note(v.name, null, refuses);
      return !refuses;
    });
    const bodyOf = (v: Variant) => () => matrixProduct(v.setup, v.tile, { a, b, ...product, direct: v.direct });
    const ordinary =
      i === 0 && !known
        ? [
            [
              ORDINARY,
              () =>
                gemm({
                  a: { tensor: a, transposed: product.ta },
                  b: { tensor: b, transposed: product.tb },
                  M,
                  N,
                  K,
                  shape: [M, N],
                  store: "f32",
                }).y,
            ] as const,
          ]
        : [];
    for (let j = 0; j < fits.length && !over(); j += batchOf(run)) {
      const some = fits.slice(j, j + batchOf(run));
      again();
      await attempt("compiling", () => compile(some.map(bodyOf)));
      again();
      let found: Awaited<ReturnType<typeof race>> | null = null;
      const together = new Map<string, () => Tensor>([...(j === 0 ? ordinary : []), ...some.map((v) => [v.name, bodyOf(v)] as const)]);
      await attempt(`${nameOf(s)} by ${some.length} in turn`, async () => {
        found = await race(together);
      });
      for (const [name, body] of together) {
        again();
        let one = (found as Awaited<ReturnType<typeof race>> | null)?.get(name);
        if (!one) {
          // the device was lost, or all failed: each alone
          const error = await attempt(`${nameOf(s)} by ${name}`, async () => {
            one = (await race(new Map([[name, body]]))).get(name);
          });
          one = error ? { ms: null, error } : one;
        }
        note(name, one?.ms ?? null, one?.error ?? undefined);
      }
    }
    // The fastest are checked whole, and run in the next shapes.
    const here = () =>
      state.timings.filter((t) => t.product === nameOf(s) && t.ms !== null && t.variant !== ORDINARY).toSorted((x, y) => x.ms! - y.ms!);
    for (const t of M <= 4096 ? here().slice(0, run.smoke ? 99 : 4) : []) {
      // larger ones take longer to read than all else
      const v = fits.find(({ name }) => name === t.variant)!;
      again();
      let wrong: string | null = null;
      const error = await attempt(`${nameOf(s)} by ${v.name}`, async () => {
        wrong = fault(await once(bodyOf(v)), o, s);
      });
      state.checks.push({ what: `${nameOf(s)} by ${v.name}`, fault: error ?? wrong });
      if (!(error ?? wrong)) continue;
      state.timings.splice(state.timings.indexOf(t), 1, { ...t, ms: null, tflops: null, out: `WRONG: ${error ?? wrong}` });
      console.log(`WRONG ${nameOf(s)} by ${v.name}: ${error ?? wrong}`);
    }
    if (i === 0 && here().length > 0)
      contenders = here()
        .filter((t) => t.ms! <= 1.5 * here()[0]!.ms!)
        .slice(0, 10)
        .map((t) => contenders.find((v) => v.name === t.variant)!);
    a.dispose();
    b.dispose();
    trimPool();
  }
  // The cases that other steps skip for want of the feature, so long as there is time.
  for (const c of known ? [] : (await import("../../checks/cases/gemm-matrix.ts")).cases) {
    if (over()) break;
    const error = await attempt(c.name, c.run);
    state.checks.push({ what: c.name, fault: error });
    if (error) console.log(`FAILED ${c.name}: ${error}`);
  }
  console.log(`${state.checks.filter((c) => !c.fault).length} of ${state.checks.length} checks and cases right`);
  keep();
  for (const t of best()) console.log(`best ${t.product}: ${t.tflops} TFLOP/s by ${t.variant}`);
  const wrong = state.checks.filter((c) => c.fault).length;
  if (wrong > 0 || state.lost.length > 0)
    throw new Error(
      `gpu: expected every product to be right, got ${wrong} that were wrong or did not run, ${state.lost.length} lost devices`,
    );
}
