/** ONNX Runtime, wherever it runs: our models with the same weights, exported to ONNX when they are needed. Inference only. */
import type { InferenceSession, Tensor } from "onnxruntime-common";
import type { Contender, Prepared } from "../contender.ts";
import { onnxFileOf } from "../onnx-graphs.ts";
import { shapesOf, type Benchmark, type Inputs } from "../benchmark.ts";

/** The library's own module, of which there is one per package. */
export interface Ort {
  readonly InferenceSession: { create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession> };
  readonly Tensor: typeof Tensor;
  readonly env: { readonly versions: { readonly common: string; readonly web?: string; readonly node?: string } };
}

export interface OrtOptions {
  readonly name: string;
  readonly version: string;
  readonly session: InferenceSession.SessionOptions;
  readonly flags: Readonly<Record<string, unknown>>;
  /** Refuses cases whose times would say nothing of the adapter. */
  readonly refuse?: (c: Benchmark) => string | null;
  /** Puts an input where it stays between runs; default: in the host's memory. */
  readonly place?: (tensor: { readonly shape: readonly number[]; readonly data: Float32Array }) => Promise<Tensor>;
  /** Waits for what was submitted. Without it a run resolves when its result is there. */
  readonly idle?: () => Promise<void>;
}

/** Its threads would keep turning for some 30 ms after a run, on the cores that a software adapter needs in its turn. */
const QUIET = { extra: { session: { intra_op: { allow_spinning: "0" } } } };

export function ortContender(ort: Ort, { name, version, session: options, flags, refuse, place, idle }: OrtOptions): Contender {
  const onHost = ({ shape, data }: { readonly shape: readonly number[]; readonly data: Float32Array }) =>
    Promise.resolve(new ort.Tensor("float32", data, [...shape]));
  return {
    name,
    version,
    flags: { ...flags, spinning: false },
    async prepare(c: Benchmark, inputs: Inputs): Promise<Prepared> {
      const refusal = refuse?.(c);
      if (refusal) throw new Error(refusal);
      const { bytes, feeds: fed, y } = onnxFileOf(c, inputs);
      const session = await ort.InferenceSession.create(bytes, {
        ...QUIET,
        graphOptimizationLevel: "all",
        logSeverityLevel: 3,
        ...options,
      });
      const feeds = Object.fromEntries(
        await Promise.all(Object.entries(fed).map(async ([name, input]) => [name, await (place ?? onHost)(inputs.get(input)!)] as const)),
      );
      let latest: Tensor | undefined;
      const size = shapesOf(c.work).y.reduce((n, d) => n * d, 1);
      return {
        async run(times) {
          for (let i = 0; i < times; i++) {
            latest?.dispose();
            latest = (await session.run(feeds))[y] as Tensor;
          }
          await idle?.();
        },
        async result() {
          const values = (await latest!.getData()) as Float32Array;
          return [Float32Array.from(values.subarray(0, size))];
        },
        dispose() {
          latest?.dispose();
          for (const t of Object.values(feeds)) t.dispose();
          void session.release();
        },
      };
    },
  };
}
