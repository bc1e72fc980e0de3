/** All steps' results as one file in the benchmark's format, and a table of the goals. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ResultFile } from "../result-file.ts";
import type { Size } from "./cases.ts";
import type { Tests } from "./checks.ts";
import type { MatrixResult } from "./matrix.ts";
import type { Cases, Result } from "./measure.ts";
import type { ModelResult } from "./models.ts";
import { read, type Run } from "./step.ts";

interface Torch {
  readonly version: string;
  readonly device: string;
  readonly ceilings: Readonly<Record<string, number>>;
  readonly runs: readonly {
    readonly mode: "train" | "forward";
    readonly size: Size;
    readonly kind: string;
    readonly compiled: boolean;
    readonly batch?: number;
    readonly imagesPerSecond?: number;
    readonly model?: string;
    readonly error?: string;
  }[];
}

interface Models {
  readonly models: readonly ModelResult[];
  readonly failures: readonly string[];
}

interface Row {
  readonly what: string;
  readonly least: number;
  readonly aim: number;
  readonly unit: string;
  /** `null`: not measured. */
  readonly got: number | null;
  readonly note?: string;
}

const short = (x: number): string => (x >= 100 ? x.toFixed(0) : x.toPrecision(3));
const verdict = ({ got, least, aim }: Row): string =>
  got === null ? "open" : got >= aim ? "aim reached" : got >= least ? "reached" : "MISSED";
const timeOf = (c: Result | undefined): number | null => (!c || "error" in c.ours ? null : c.ours.medianMs);
const tflops = (steps: Cases | null, name: string): number | null => {
  const c = steps?.cases.find((one) => one.name === name);
  const ms = timeOf(c);
  return ms === null ? null : c!.flops / ms / 1e9;
};

export function summary({ out, smoke }: Run, about: { version: string; commit: string }): void {
  const kernels = read<Cases>(out, "kernels"),
    unsafe = read<Cases>(out, "unsafe"),
    tfjs = read<Cases>(out, "tfjs");
  const models = read<Models>(out, "models"),
    f16 = read<Models>(out, "f16"),
    f16Matrix = read<Models>(out, "f16-matrix"),
    torch = read<Torch>(out, "torch"),
    tests = read<Tests>(out, "tests");
  const doctor = read<{ device: { name: string; software: boolean } }>(out, "doctor"),
    matrices = read<{ device: { features: string[]; subgroupMatrix: string[] } }>(out, "doctor-matrix");
  const matrix = read<MatrixResult>(out, "matrix"),
    matrixUnsafe = read<MatrixResult>(out, "matrix-unsafe");
  const rows = rowsOf({ kernels, unsafe, tfjs, models, torch, matrix });
  const text = [
    `tessera-gpu ${about.version} (${about.commit}) on ${doctor?.device.name ?? "an adapter that no doctor named"}${doctor?.device.software ? ", a SOFTWARE adapter: nothing here says anything of a GPU" : ""}`,
    `tests: ${tests ? `${tests.passed} passed, ${tests.failed} failed, ${tests.skipped} skipped${tests.notRun > 0 ? `, ${tests.notRun} not run for want of time` : ""}` : "not run"}`,
    `steps that failed: ${failedSteps(out).join(", ") || "none"}`,
    ...(kernels
      ? [
          `ceilings, WebGPU: copy ${short(kernels.ceilings.copyGBps)} GB/s, multiply-add ${short(kernels.ceilings.fmaGFlops / 1000)} TFLOP/s`,
        ]
      : []),
    ...(torch
      ? [
          `ceilings, PyTorch ${torch.version}: ${Object.entries(torch.ceilings)
            .map(([name, v]) => `${name} ${short(v)}`)
            .join(", ")}`,
        ]
      : []),
    `subgroup matrices: ${matrices ? matrices.device.subgroupMatrix.join(", ") || "none" : "not asked"}${matrix ? `; ${matrix.checks.filter((c) => !c.fault).length} of ${matrix.checks.length} checks right` : ""}`,
    ...[matrix, matrixUnsafe].flatMap((m, i) =>
      (m?.best ?? []).map((t) => `  ${t.product}${i === 0 ? "" : ", unsafe"}: ${short(t.tflops ?? NaN)} TFLOP/s by ${t.variant}`),
    ),
    "",
    table(
      ["what", "at least", "aim", "measured", ""],
      rows.map((r) => [
        `${r.what}${r.note ? ` (${r.note})` : ""}`,
        `${short(r.least)} ${r.unit}`,
        `${short(r.aim)} ${r.unit}`,
        r.got === null ? "not measured" : `${short(r.got)} ${r.unit}`,
        smoke ? "small sizes, says nothing" : verdict(r),
      ]),
    ),
    "",
    table(
      ["images/s", "batch", "ours", "PyTorch fp32", "TF32", "bf16", "fp32 compiled", "TF32 compiled", "bf16 compiled"],
      modelRows(
        [models, f16, f16Matrix].flatMap((m) => m?.models ?? []),
        torch,
      ),
    ),
    "",
    table(
      ["ours, safe toggles", "ms", "TFLOP/s", "GB/s", "of limit", "unsafe: ms"],
      (kernels?.cases ?? []).map((c) => [
        c.name,
        short(timeOf(c) ?? NaN),
        c.flops > 0 && c.gflops ? short(c.gflops / 1000) : "",
        c.gbps ? short(c.gbps) : "",
        c.peakFraction === null ? "" : `${Math.round(100 * c.peakFraction)} %`,
        short(timeOf(unsafe?.cases.find((u) => u.name === c.name)) ?? NaN).replace("NaN", ""),
      ]),
    ),
    "",
    table(
      ["beside tfjs, in one process", "ours ms", "tfjs ms", "ratio"],
      (tfjs?.cases ?? []).map((c) => {
        const rival = c.rivals["tfjs"];
        return [
          c.name,
          short(timeOf(c) ?? NaN),
          !rival ? "-" : "error" in rival ? `failed: ${rival.error.slice(0, 60)}` : short(rival.medianMs),
          c.ratio["tfjs"]?.toFixed(2) ?? "",
        ];
      }),
    ),
    ...(tests?.failures ?? []).map((f) => `FAILED ${f.name}: ${f.error}`),
    ...[models, f16, f16Matrix].flatMap((m) => m?.failures ?? []).map((f) => `no result: ${f}`),
  ].join("\n");
  writeFileSync(join(out, "summary.txt"), `${text}\n`);
  console.log(text);

  const base = kernels ?? tfjs;
  if (!base) return;
  const { vendor, architecture, device } = base.adapter;
  const own = [
    ...(kernels?.cases ?? []),
    ...(models?.models ?? []).filter((m) => m.toggles === "safe").map((m) => ({ ...m.measured, peakFraction: null })),
    ...[f16, f16Matrix].flatMap((f) => f?.models ?? []).map((m) => ({ ...m.measured, peakFraction: null })),
  ];
  // A case beside a rival says more than the same one alone.
  const cases = [...new Map([...own, ...(tfjs?.cases ?? [])].map((c) => [c.name, c])).values()];
  const file = {
    ...base,
    where: "node",
    commit: about.commit,
    versions: { ...base.versions, ...tfjs?.versions, ...(torch ? { torch: torch.version } : {}) },
    rivalFlags: tfjs?.rivalFlags ?? {},
    absent: tfjs?.absent ?? {},
    cases,
    unsafe,
    torch,
    tests,
    targets: rows,
  };
  writeFileSync(
    join(out, `${vendor || "unnamed"}-${architecture || device || "adapter"}-node.json`),
    `${JSON.stringify(file satisfies ResultFile, null, 1)}\n`,
  );
}

function rowsOf({
  kernels,
  unsafe,
  tfjs,
  models,
  torch,
  matrix,
}: {
  kernels: Cases | null;
  unsafe: Cases | null;
  tfjs: Cases | null;
  models: Models | null;
  torch: Torch | null;
  matrix: MatrixResult | null;
}): Row[] {
  const big = "matmul 4096x4096x4096";
  const shapes = ["linear 12608x384x1536", "linear 12608x768x3072", "linear 12608x3072x768"];
  const worst = (list: readonly (number | null)[]): number | null =>
    list.some((v) => v === null) || list.length === 0 ? null : Math.min(...(list as number[]));
  const rate = (mode: "train" | "forward", size: Size) =>
    models?.models.find((m) => m.mode === mode && m.size === size && m.toggles === "safe");
  const fp32 = (mode: "train" | "forward", size: Size) =>
    torch?.runs.find((r) => r.mode === mode && r.size === size && r.kind === "fp32" && !r.compiled)?.imagesPerSecond;
  const share = (mode: "train" | "forward", size: Size): number | null => {
    const [own, theirs] = [rate(mode, size)?.imagesPerSecond, fp32(mode, size)];
    return own && theirs ? own / theirs : null;
  };
  const beside = (tfjs?.cases ?? []).filter((c) => c.name.startsWith("train deit_small") && c.ratio["tfjs"] !== undefined).at(-1);
  const memoryBound = [
    "layerNorm 50432x768",
    "softmax 768x197x197",
    "gelu 12608x3072",
    "crossEntropy 32768x1000",
    "batchNorm B64 C208 56x56",
    "adamw 87338192",
  ];
  const ofCopy = (name: string): number | null => {
    const c = kernels?.cases.find((one) => one.name === name);
    return c?.gbps ? (100 * c.gbps) / kernels!.ceilings.copyGBps : null;
  };
  const images: readonly [Size, number, number][] = [
    ["tiny", 1500, 3000],
    ["small", 600, 1000],
    ["base", 170, 280],
  ];
  return [
    { what: "GEMM 4096^3 f32, safe toggles", least: 20, aim: 35, unit: "TFLOP/s", got: tflops(kernels, big) },
    { what: "GEMM 4096^3 f32, unsafe toggles", least: 20, aim: 35, unit: "TFLOP/s", got: tflops(unsafe, big) },
    {
      what: "DeiT's own shapes, the worst, safe",
      least: 20,
      aim: 35,
      unit: "TFLOP/s",
      got: worst(shapes.map((s) => tflops(kernels, s))),
      note: shapes.join(", "),
    },
    { what: "DeiT's own shapes, the worst, unsafe", least: 20, aim: 35, unit: "TFLOP/s", got: worst(shapes.map((s) => tflops(unsafe, s))) },
    {
      what: "GEMM 4096^3 f16 on tensor cores, toggles of the experimental feature",
      least: 60,
      aim: 150,
      unit: "TFLOP/s",
      got: matrix?.best.find((t) => t.product === "4096x4096x4096 NN")?.tflops ?? null,
    },
    {
      what: "DeiT-S training step against tfjs",
      least: 3,
      aim: 6,
      unit: "x",
      got: beside?.ratio["tfjs"] ?? null,
      ...(beside ? { note: beside.name } : {}),
    },
    ...images.map(([size, least, aim]): Row => {
      const m = rate("train", size);
      return {
        what: `training, DeiT ${size}, f32`,
        least,
        aim,
        unit: "images/s",
        got: m?.imagesPerSecond ?? null,
        ...(m ? { note: `batch ${m.batch}` } : {}),
      };
    }),
    ...(["train", "forward"] as const).flatMap((mode) =>
      images.map(
        ([size]): Row => ({
          what: `${mode} ${size} against PyTorch fp32, TF32 off`,
          least: 0.5,
          aim: 0.85,
          unit: "x",
          got: share(mode, size),
        }),
      ),
    ),
    ...memoryBound.map((name): Row => ({ what: `share of copy bandwidth: ${name}`, least: 60, aim: 85, unit: "%", got: ofCopy(name) })),
  ];
}

function modelRows(own: readonly ModelResult[], torch: Torch | null): string[][] {
  return own.map((m) => {
    const theirs = (kind: string, compiled: boolean): string => {
      const r = torch?.runs.find((one) => one.mode === m.mode && one.size === m.size && one.kind === kind && one.compiled === compiled);
      return !r
        ? "-"
        : r.imagesPerSecond === undefined
          ? "failed"
          : `${short(r.imagesPerSecond)}${r.batch === m.batch ? "" : ` (${r.batch})`}`;
    };
    const name = `${m.mode} ${m.size} ${m.dtype}${m.toggles === "unsafe" ? ", unsafe" : m.toggles === "matrix" ? ", tensor cores" : ""}`;
    return [
      name,
      String(m.batch),
      short(m.imagesPerSecond ?? NaN),
      ...[false, true].flatMap((compiled) => ["fp32", "tf32", "bf16"].map((kind) => theirs(kind, compiled))),
    ];
  });
}

/** Columns padded to their widest cell. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  return all
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function failedSteps(out: string): string[] {
  const folder = join(out, "steps");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((f) => f.endsWith(".end.json"))
    .map((f) => JSON.parse(readFileSync(join(folder, f), "utf8")) as { step: string; code: number })
    .filter(({ code }) => code !== 0)
    .map(({ step, code }) => `${step} (${code === 124 ? "over its time" : code})`);
}
