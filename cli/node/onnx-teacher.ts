/** A teacher in an ONNX file, run by onnxruntime-node, which is not installed with this package: `npm install onnxruntime-node`. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { UsageError } from "../../jobs/errors.ts";
import type { OutsideTeacher } from "../../train/answers.ts";

interface Value {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** What is used of onnxruntime's interface. */
interface Ort {
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => Value;
  readonly InferenceSession: { create(path: string): Promise<Session> };
}

interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, Value>>): Promise<Readonly<Record<string, Value>>>;
}

/** Images go to the graph's only input; the answers are its output `logits`, or its first. */
export async function openOnnxTeacher(path: string): Promise<OutsideTeacher> {
  const ort = loadOrt();
  const session = await ort.InferenceSession.create(path).catch((error: Error) => {
    throw new UsageError(`expected an ONNX model at ${path}, got ${error.message.split("\n")[0]}`);
  });
  const [input, ...others] = session.inputNames;
  if (input === undefined || others.length > 0)
    throw new UsageError(`expected one input, of images, in ${path}, got ${session.inputNames.join(", ") || "none"}`);
  const output = session.outputNames.includes("logits") ? "logits" : session.outputNames[0]!;
  return async (x, count, side) => {
    const { [output]: y } = await session.run({ [input]: new ort.Tensor("float32", x, [count, 3, side, side]) }).catch((error: Error) => {
      throw new UsageError(`expected a model of images [N,3,${side},${side}] in ${path}, got ${error.message.split("\n")[0]}`);
    });
    if (y?.dims.length !== 2 || y.dims[0] !== count || !(y.data instanceof Float32Array))
      throw new UsageError(`expected logits [${count},K] of ${output} in ${path}, got [${y?.dims}]`);
    return { logits: y.data, numClasses: y.dims[1]! };
  };
}

/** From the folder of the command, else from beside this package. */
function loadOrt(): Ort {
  for (const base of [join(process.cwd(), "package.json"), import.meta.url]) {
    try {
      return createRequire(base)("onnxruntime-node") as Ort;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new UsageError("expected onnxruntime-node for --teacher-onnx, got none: npm install onnxruntime-node");
}
