/** The options that say which model and which data a verb works on. */
import { readFileSync } from "node:fs";
import { UsageError } from "../jobs/errors.ts";
import { shipped } from "./place.ts";

/** The teacher that ships, and how it was trained. */
export const SHIPPED_TEACHER = shipped("app/data/teacher/regnety-cifar10.safetensors");

/** Text without the byte order mark that some editors put before it. */
export const withoutMark = (text: string): string => text.replace(/^\uFEFF/, "");

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
    value = JSON.parse(withoutMark(text));
  } catch (error) {
    throw new UsageError(`expected JSON in "${path}", got ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`expected a JSON object in "${path}", got ${Array.isArray(value) ? "a list" : typeof value}`);
  return value as Record<string, unknown>;
}

/** A model given by name, by a JSON file, or inline as JSON. */
export function parseModel(text: string): string | Record<string, unknown> {
  if (text.trimStart().startsWith("{")) {
    try {
      return JSON.parse(withoutMark(text)) as Record<string, unknown>;
    } catch (error) {
      throw new UsageError(`expected a model's config as JSON, got ${(error as Error).message}`);
    }
  }
  return text.endsWith(".json") ? readJson(text) : text;
}
