/** JSON files damaged at random, in their values or in their text, for the readers of recipes, models' configs, runs' records and results. */
import type { Random } from "../kernels/shared/random.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const NUMBERS = [0, -1, 1, 2, 3, 0.5, 1e-320, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, 1e21, 1e308, -0.1];
const TEXTS = [
  "",
  "x",
  "NaN",
  "null",
  "__proto__",
  "constructor",
  "rand-m9-n1000000000",
  "\u001b[2J\n",
  "\ud800",
  "</script>",
  "9".repeat(400),
];
const KEYS = ["__proto__", "constructor", "toString", "length", "", "error", "numClasses", "x".repeat(300)];
const TEXT_PARTS = ["{", "}", "[", "]", '"', ",", ":", "-", "e9", "1", "null", "\\u0000", "\uFEFF"];

const pick = <T>(from: readonly T[], random: Random): T => from[random.int(from.length)]!;

/** Stands for a deep value, which JSON.stringify could not write. */
const DEEP = "deep value";

function nested(random: Random): string {
  const depth = random.int(random.int(20) ? 200 : 20_000);
  return random.int(2) ? `${"[".repeat(depth)}1${"]".repeat(depth)}` : `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
}

/** A value of any kind: mostly an extreme, at times a deep one. */
function hostile(random: Random): Json {
  switch (random.int(8)) {
    case 0:
      return null;
    case 1:
      return random.int(2) === 1;
    case 2:
      return pick(TEXTS, random);
    case 3:
      return Array.from({ length: random.int(5) }, () => pick(NUMBERS, random));
    case 4:
      return { [pick(KEYS, random)]: pick(NUMBERS, random) };
    case 5:
      return DEEP;
    default:
      return pick(NUMBERS, random);
  }
}

/** A copy with the value at one random place changed, left out, repeated, or joined by another. */
function changed(value: Json, random: Random): Json {
  if (typeof value !== "object" || value === null || random.int(6) === 0) return hostile(random);
  if (Array.isArray(value)) {
    const list = [...(value as readonly Json[])];
    const at = random.int(list.length + 1);
    if (at === list.length || random.int(5) === 0) list.splice(at, random.int(2), hostile(random));
    else list[at] = changed(list[at]!, random);
    return list;
  }
  const entries = Object.entries(value as { readonly [key: string]: Json });
  const at = random.int(entries.length + 1);
  const [key, old] = entries[at] ?? [pick(KEYS, random), 1];
  if (at < entries.length && random.int(5) === 0) entries.splice(at, 1);
  else entries[at] = random.int(12) === 0 ? [pick(KEYS, random), old] : [key, at < entries.length ? changed(old, random) : hostile(random)];
  return Object.fromEntries(entries);
}

/** The text of `value` with one to three values changed; one in four also with a part of the text cut, changed or put in. */
export function damagedJson(value: Json, random: Random): string {
  let damaged = value;
  for (let n = 1 + random.int(3); n > 0; n--) damaged = changed(damaged, random);
  let text = JSON.stringify(damaged).replaceAll(`"${DEEP}"`, () => nested(random));
  if (random.int(4) > 0) return text;
  const at = random.int(text.length + 1);
  const cut = random.int(3) === 0 ? random.int(text.length) : random.int(3);
  text = `${text.slice(0, at)}${random.int(2) ? pick(TEXT_PARTS, random) : ""}${text.slice(at + cut)}`;
  return text;
}
