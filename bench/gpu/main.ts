/** The GPU run's steps as a program: `main.mjs STEP --out DIR [--smoke] [--seconds N]`. run.sh calls it, once a step. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Run } from "./step.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: "string", default: "out" },
    smoke: { type: "boolean", default: false },
    seconds: { type: "string", default: "240" },
    model: { type: "string" },
  },
});
const run: Run = { out: values.out, smoke: values.smoke, seconds: Number(values.seconds) };
/** What was packed: version and commit of the project. */
const about = JSON.parse(readFileSync(new URL("../about.json", import.meta.url), "utf8")) as { version: string; commit: string };

const STEPS: Readonly<Record<string, () => Promise<void> | void>> = {
  probe: async () => void (await (await import("./step.ts")).open("safe", { ...run, out: "" })),
  async doctor() {
    const { doctor } = await import("./checks.ts");
    await doctor(run, "safe");
  },
  async "doctor-matrix"() {
    const { doctor } = await import("./checks.ts");
    await doctor(run, "matrix");
  },
  matrix: async () => (await import("./matrix.ts")).matrix(run),
  "matrix-unsafe": async () => (await import("./matrix.ts")).matrix(run, "matrixUnsafe"),
  tests: async () => (await import("./checks.ts")).tests(run),
  tune: async () => (await import("./tuned.ts")).tuneAll(run),
  "tune-matrix": async () => (await import("./tuned.ts")).tuneAll(run, "matrix"),
  gemm: async () => (await import("./sweep.ts")).sweep(run, "safe"),
  "gemm-unsafe": async () => (await import("./sweep.ts")).sweep(run, "unsafe"),
  profile: async () => (await import("./profile.ts")).profile(run, about.version),
  rows: async () => (await import("./rows.ts")).rows(run),
  async kernels() {
    const [{ measureAll }, { kernelCases }] = await Promise.all([import("./measure.ts"), import("./cases.ts")]);
    await measureAll("kernels", "safe", kernelCases(run.smoke), run, about);
  },
  async unsafe() {
    const [{ measureAll }, { uncheckedCases }] = await Promise.all([import("./measure.ts"), import("./cases.ts")]);
    await measureAll("unsafe", "unsafe", uncheckedCases(run.smoke), run, about);
  },
  async models() {
    const { models, allOf } = await import("./models.ts");
    models("models", run, [...allOf("f32", "safe"), { mode: "train", size: "small", dtype: "f32", toggles: "unsafe" }]);
  },
  async f16() {
    const { models, allOf } = await import("./models.ts");
    models("f16", run, allOf("f16", "f16"));
  },
  async "f16-matrix"() {
    const { models, allOf } = await import("./models.ts");
    models("f16-matrix", run, allOf("f16", "matrix"));
  },
  model: async () => (await import("./models.ts")).model(run, JSON.parse(values.model!), about.version),
  async tfjs() {
    const [{ measureAll }, { rivalCases }] = await Promise.all([import("./measure.ts"), import("./cases.ts")]);
    await measureAll("tfjs", "safe", rivalCases(run.smoke), run, { ...about, rival: new URL("../rivals/tfjs.mjs", import.meta.url).href });
  },
  summary: async () => (await import("./summary.ts")).summary(run, about),
};

const step = STEPS[positionals[0] ?? ""];
if (!step) {
  console.error(`gpu: expected a step (${Object.keys(STEPS).join(", ")}), got ${positionals[0] ?? "none"}`);
  process.exit(2);
}
try {
  await step();
  process.exit(0); // Dawn keeps Node alive
} catch (error) {
  console.error((error as Error).message.split("\n")[0]);
  process.exit(1);
}
