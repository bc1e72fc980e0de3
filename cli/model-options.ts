/** The options that say which model and which data a verb works on. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join, resolve } from "node:path";
import type { DataFiles } from "../train/data/open.ts";
import { UsageError } from "./errors.ts";
import { defaultCacheDir } from "./jobs-node/cifar10.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Inside the repository or the installed package. */
export const shipped = (path: string): string => join(root, path);

/** The teacher that ships, and how it came about. */
export const SHIPPED_TEACHER = shipped("app/data/teacher/regnety-cifar10.safetensors");

/** A JSON file that must hold an object. */
export function readJson(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    throw new UsageError(`expected a file that can be read at "${path}", got none`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`expected JSON in "${path}", got ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new UsageError(`expected a JSON object in "${path}", got ${Array.isArray(value) ? "a list" : typeof value}`);
  return value as Record<string, unknown>;
}

/** A model given by name, by a JSON file, or inline as JSON. */
export function parseModel(text: string): string | Record<string, unknown> {
  if (text.trimStart().startsWith("{")) {
    try {
      return JSON.parse(text) as Record<string, unknown>;
    } catch (error) {
      throw new UsageError(`expected a model's config as JSON, got ${(error as Error).message}`);
    }
  }
  return text.endsWith(".json") ? readJson(text) : text;
}

/** "cifar10-subset" (shipped), "cifar10" (fetched by `data cifar10`), or a folder with train.bin and test.bin in CIFAR-10's form. */
export function dataFiles(name: string): { train: DataFiles; test: DataFiles } {
  const { train, test } = cifarFiles(name);
  return { train: { kind: "cifar10", path: train }, test: { kind: "cifar10", path: test } };
}

function cifarFiles(name: string): { train: string; test: string } {
  if (name === "cifar10-subset") return { train: shipped("app/data/cifar10/train.bin"), test: shipped("app/data/cifar10/test.bin") };
  if (name === "cifar10") {
    const folder = join(defaultCacheDir(), "cifar10");
    const files = { train: join(folder, "cifar10-train.bin"), test: join(folder, "cifar10-test.bin") };
    if (!existsSync(files.train) || !existsSync(files.test)) throw new UsageError(`expected CIFAR-10 in ${folder}, got none; run: npm run data -- cifar10`);
    return files;
  }
  const files = { train: resolve(name, "train.bin"), test: resolve(name, "test.bin") };
  for (const file of Object.values(files)) if (!existsSync(file)) throw new UsageError(`expected data cifar10-subset, cifar10 or a folder with train.bin and test.bin, got "${name}"`);
  return files;
}
