/** Damaged JSON files, some of each kind: an answer or a refusal in one line. test/slow/json.slow.test.ts reads 100,000. */
import { expect, test } from "vitest";
import { createModel } from "../../models/model.ts";
import { readMeta } from "../../train/checkpoint-meta.ts";
import { parseAutoAugment } from "../../train/augment/auto-augment.ts";
import { fuzzJson, JSON_READERS } from "./json-readers.ts";

test.each(Object.entries(JSON_READERS))("%s JSON", (_, reader) => {
  const { read, refused } = fuzzJson(reader, 500, 20260101);
  expect(read).toBeGreaterThan(10);
  expect(refused).toBeGreaterThan(100);
});

const deep = JSON.parse(`${"[".repeat(50_000)}1${"]".repeat(50_000)}`) as unknown;

test("a value nested by the thousand, an object where a number should be, and a key that every object has are refused in one line", () => {
  expect(() => createModel({ arch: "deit", imgSize: deep })).toThrow("deit: expected a positive imgSize, got [a list]");
  expect(() => createModel({ arch: "regnety", imgSize: 1e308 })).toThrow("regnety: expected a imgSize of at most 65536, got 1e+308");
  expect(() => createModel({ arch: "deit", constructor: 1 })).toThrow(/^model: expected arch, .*, got "constructor"$/);
  expect(() => readMeta({ tessera: '{"format":"tessera-checkpoint","version":{"toString":1}}' })).toThrow(
    'expected checkpoint version 1 or 2, got "tessera-checkpoint" an object',
  );
  expect(() => parseAutoAugment("\u001b[2J\n")).toThrow(/^AutoAugment: expected rand-[^\n]*, got "\\u001b\[2J\\n"$/);
});
