/**
 * Rules for a safetensors header beyond JSON, as the reference reader (serde) enforces them: no repeated key in a tensor's record, counts
 * written as plain digits, whole characters in texts, lists and objects nested at most 127 deep. `JSON.parse` hides all of these.
 */
import { quote } from "../shown.ts";
import { isColon, stringEnd } from "./json-keys.ts";

const MOST_DEPTH = 127;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

interface Level {
  /** Keys of an object so far; `null` in a list. */
  readonly keys: Set<string> | null;
  /** The key whose value is being read. */
  key: string;
}

/**
 * Throws `expected …, got …` without a prefix by `fail`. `text` is valid JSON. A loop and not a regular expression: those run out of stack
 * on a string of many megabytes.
 */
export function checkHeaderText(text: string, metadata: string, fail: (expected: string, got: string) => never): void {
  const open: Level[] = [];
  const inTensor = () => open.length >= 2 && open[0]!.key !== metadata;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "{" || c === "[") {
      open.push({ keys: c === "{" ? new Set() : null, key: "" });
      if (open.length > MOST_DEPTH) fail(`a header at most ${MOST_DEPTH} lists and objects deep`, "more");
    } else if (c === "}" || c === "]") open.pop();
    else if (c === '"') {
      const end = stringEnd(text, i);
      const value = JSON.parse(text.slice(i, end + 1)) as string; // "a" and "\u0061" are one key
      if (/\p{Surrogate}/u.test(value)) fail("whole characters in the header's texts", quote(value));
      const level = open.at(-1);
      if (level?.keys && isColon(text, end + 1)) {
        const once = open.length === 1 ? value === metadata : open.length === 2 && inTensor() && FIELDS.has(value);
        if (once && level.keys.has(value)) fail("every key of the header once", `${quote(value)} twice`);
        if (once) level.keys.add(value);
        level.key = value;
      }
      i = end;
    } else if (c === "-" || (c >= "0" && c <= "9")) {
      NUMBER.lastIndex = i;
      const number = NUMBER.exec(text)![0];
      const record = open[1];
      const counts = inTensor() && (record!.keys === null || record!.key === "shape" || record!.key === "data_offsets");
      if (counts ? !/^\d+$/.test(number) : !Number.isFinite(Number(number)))
        fail(counts ? "counts in plain digits in shapes and data_offsets" : "numbers within range", number.slice(0, 40));
      i += number.length - 1;
    }
  }
}

const FIELDS = new Set(["dtype", "shape", "data_offsets"]);
