/** `tessera convert --to onnx`: a file, or a folder as transformers.js opens it. */
import { statSync } from "node:fs";
import { extname, join } from "node:path";
import type { AnyWeights } from "../models/checkpoints/formats.ts";
import { namingOf } from "../models/checkpoints/names.ts";
import type { HeadChoice } from "../models/heads.ts";
import type { OnnxDtype } from "../models/onnx/graph.ts";
import { ONNX_NAMES } from "../models/onnx/hugging-face.ts";
import { refusing, UsageError } from "../jobs/errors.ts";
import { convertToOnnx } from "../jobs/convert/onnx.ts";
import type { Host } from "../jobs/host.ts";
import { WeightsError } from "../tasks/errors.ts";
import { parseModel } from "./model-options.ts";
import { writeAtomic } from "./node/files.ts";
import { print } from "./output.ts";
import { writeJson, type CommonOptions } from "./run-job.ts";

export interface ConvertOnnxOptions extends CommonOptions {
  readonly in: string;
  readonly out: string;
  readonly from: "auto" | "timm" | "hf";
  readonly model?: string;
  readonly dtype?: OnnxDtype;
  readonly head?: HeadChoice;
}

export async function convertFileToOnnx(host: Host, read: AnyWeights, options: ConvertOnnxOptions): Promise<void> {
  const { dtype = "f32", head = "mean" } = options;
  const folder = isFolder(options.out);
  const from = namingOf(read.state);
  if (options.from !== "auto" && options.from !== from)
    throw new UsageError(`expected ${options.from} names, got ${from} names (${options.in})`);
  const model = options.model === undefined ? undefined : parseModel(options.model);
  const done = await convertToOnnx(read, { model, dtype, head }).catch((error: unknown) =>
    refusing(() => {
      throw error instanceof WeightsError ? new Error(error.message) : error;
    }, options.in),
  );
  const path = folder ? join(options.out, ONNX_NAMES[dtype]) : options.out;
  await writeAtomic(path, done.file.parts());
  const files = [path];
  if (folder)
    for (const [name, json] of Object.entries(done.beside)) {
      files.push(join(options.out, name));
      await host.writeFile(files.at(-1)!, new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`));
    }
  const { name, numClasses } = done.model;
  print(
    `${name}, ${numClasses} classes, ${from} (${read.container}) to onnx (${dtype}), ${done.file.byteLength} bytes: ${files.join(", ")}\n`,
  );
  if (options.json)
    await writeJson(host, options.json, {
      from,
      fromContainer: read.container,
      to: "onnx",
      dtype,
      model: name,
      bytes: done.file.byteLength,
      files,
    });
}

/** FILE.onnx is a file; a folder's name has no ending, or is there, or ends in a slash. */
function isFolder(out: string): boolean {
  if (out.endsWith(".onnx")) return false;
  if (/[/\\]$/.test(out) || extname(out) === "" || statSync(out, { throwIfNoEntry: false })?.isDirectory()) return true;
  throw new UsageError(`expected --out to end in .onnx, or a folder, got "${out}"`);
}
