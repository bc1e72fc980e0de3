/** Parses options' values. Throws `UsageError` for text that is not such a value. */
import { readFileSync } from "node:fs";
import { InvalidArgumentError, type Command } from "commander";
import { UsageError } from "../jobs/errors.ts";
import { withoutMark } from "./model-options.ts";

/** An integer in [least, most]. */
export const integer =
  (least: number, most = Infinity) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(`expected an integer ${most === Infinity ? `from ${least} on` : `in [${least}, ${most}]`}`);
    return value;
  };

/** A finite number in [least, most], or above `least` where that itself is left out. */
export const number =
  (least: number, most = Infinity, { open = false } = {}) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < least || value > most || (open && value === least)) {
      throw new InvalidArgumentError(
        `expected a number ${open ? `above ${least}` : most === Infinity ? `from ${least} on` : `in [${least}, ${most}]`}`,
      );
    }
    return value;
  };

/** Options that every mode of every verb takes. */
const ALWAYS = ["where", "adapter", "seed", "json", "gpuTimeout", "races", "refresh", "downloadTimeout", "debug"];

/** Refuses an option of the command line that has no meaning in a verb's mode. `taken`: the mode's own options, by their names in code. */
export function refuseOthers(command: Command, mode: string, taken: readonly string[]): void {
  const given = command.options.filter((option) => command.getOptionValueSource(option.attributeName()) === "cli");
  const other = given.find((option) => ![...ALWAYS, ...taken].includes(option.attributeName()));
  if (other) throw new UsageError(`expected ${mode} without ${other.long}, got both; see tessera ${command.name()} --help`);
}

const UNITS: Readonly<Record<string, number>> = { "": 1, KB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** A number of bytes: "800000000", "800MB", "1.5 GiB". */
export function bytes(text: string): number {
  const [, amount = "", unit = ""] = /^\s*([\d.]+)\s*(|[KMG]i?B)\s*$/.exec(text) ?? [];
  const value = Math.floor(Number(amount) * UNITS[unit]!);
  if (amount === "" || !Number.isFinite(value) || value < 1) throw new InvalidArgumentError("expected bytes, as 800MB or 1.5GiB");
  return value;
}

/** An object in JSON. */
export function jsonObject(what: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(withoutMark(text));
  } catch {
    value = undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`expected a JSON object for ${what}, got ${JSON.stringify(text.slice(0, 80))}`);
  return value as Record<string, unknown>;
}

/** The model of `--model NAME` or `--config JSON`; the JSON may also be a file. */
export function modelOf({
  model,
  config,
}: {
  readonly model?: string | undefined;
  readonly config?: string | undefined;
}): string | Record<string, unknown> {
  if ((model === undefined) === (config === undefined))
    throw new UsageError(`expected either --model or --config, got ${model === undefined ? "neither" : "both"}`);
  if (model !== undefined) return model;
  return jsonObject("--config", config!.trim().startsWith("{") ? config! : read(config!));
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`expected JSON or a file of JSON for --config, got "${path}" (${(error as NodeJS.ErrnoException).code})`);
  }
}
