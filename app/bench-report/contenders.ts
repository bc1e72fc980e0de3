/** The measured libraries and their marks in the charts: one hue per library, one shape per backend. */
import type { ResultFile } from "../../bench/result-file.ts";
import type { Failure, Timing } from "../../bench/run.ts";

export type CaseResult = ResultFile["cases"][number];

export const OURS = "ours";

interface Look {
  readonly title: string;
  /** One that has an area: it is filled. */
  readonly symbol: "circle" | "square" | "triangle" | "triangle2" | "diamond2" | "star" | "cross" | "wye";
}

const LOOKS: Readonly<Record<string, Look>> = {
  [OURS]: { title: "Tessera", symbol: "circle" },
  tfjs: { title: "TensorFlow.js, WebGPU", symbol: "circle" },
  "tfjs-webgl": { title: "TensorFlow.js, WebGL", symbol: "square" },
  "tfjs-wasm": { title: "TensorFlow.js, wasm", symbol: "triangle" },
  ort: { title: "ONNX Runtime, WebGPU", symbol: "diamond2" },
  "ort-wasm": { title: "ONNX Runtime, wasm", symbol: "wye" },
  "ort-cpu": { title: "ONNX Runtime, processor", symbol: "cross" },
  jax: { title: "jax-js", symbol: "star" },
  torch: { title: "PyTorch", symbol: "triangle2" },
};

export const titleOf = (name: string): string => LOOKS[name]?.title ?? name;
export const symbolOf = (name: string): Look["symbol"] => LOOKS[name]?.symbol ?? "circle";
/** Colours are of the style sheet, so that they follow the light. */
export const colorOf = (name: string): string => (name in LOOKS ? `var(--${name})` : "var(--other)");

/** Rivals of a result, in this file's order. */
export const rivalsOf = ({ cases }: ResultFile): string[] => {
  const names = [...new Set(cases.flatMap((c) => Object.keys(c.rivals)))];
  const rank = (name: string): number => (name in LOOKS ? Object.keys(LOOKS).indexOf(name) : Infinity);
  return names.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
};

export const timed = (t: Timing | Failure | undefined): t is Timing => t !== undefined && !("error" in t);
/** With fewer samples the range of a ratio is the range seen, not a 95 % range. */
const ENOUGH = 5;
/** Whether a case has too few samples to decide which side is faster. */
export const fewSamples = (c: CaseResult, rival: string): boolean => [c.ours, c.rivals[rival]].some((t) => timed(t) && t.runs < ENOUGH);

export const timingOf = (c: CaseResult, name: string): Timing | null => {
  const t = name === OURS ? c.ours : c.rivals[name];
  return timed(t) ? t : null;
};
