/** Ordinary Python values beside weights, as PyTorch saves them (test/golden/checkpoint-values.py): passed over unread, nothing runs. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readAnyWeights } from "../../models/checkpoints/formats.ts";

const golden = JSON.parse(readFileSync(new URL("../golden/checkpoint-values.json", import.meta.url), "utf8")) as {
  readonly read: Readonly<Record<string, { readonly file: string; readonly weightsOnly: boolean }>>;
  readonly refused: Readonly<Record<string, string>>;
};
const bytes = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"));

describe("read, whatever lies beside the weights", () => {
  test.each(Object.entries(golden.read))("%s", (_, { file }) => {
    const { state } = readAnyWeights(bytes(file));
    expect([...state].map(([name, { shape, data }]) => [name, shape, [...data]])).toEqual([
      ["patch_embed.proj.weight", [1, 3, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
      ["cls_token", [1, 1, 1], [0.5]],
    ]);
  });
});

describe("refused: a call that could run something", () => {
  test.each(Object.entries(golden.refused))("%s", (_, file) => {
    expect(() => readAnyWeights(bytes(file))).toThrow(
      /^pickle: expected only tensors and plain values, got a call of "[\w.]+" with \d arguments, which is not run$/,
    );
  });
});
