import { expect, test } from "vitest";
import { fill, fillInput, fillRange, fillState, unitValue } from "./fill.ts";

test("fill: the published check values", () => {
  const first = [0, 1, 2, 3].map((i) => (unitValue(i, 1) + 1) / 2); // published before scaling to [-1, 1)
  [0.79471535, 0.30762186, 0.93950465, 0.76895949].forEach((want, i) => expect(first[i]).toBeCloseTo(want, 8));
  [-1.7, -1.4610926, 0.7858083, 1.1506891].forEach((want, i) => expect(fillInput(4)[i]).toBeCloseTo(want, 6));
});

test("fill: ranges by name and shape, numbered from 1", () => {
  expect(fillRange("pos_embed", [1, 66, 96])).toEqual({ amp: 0.5, base: 0 });
  expect(fillRange("blocks.0.attn.qkv.weight", [288, 96])).toEqual({ amp: Math.sqrt(3 / 96), base: 0 });
  expect(fillRange("s1.b1.conv2.conv.weight", [48, 8, 3, 3])).toEqual({ amp: Math.sqrt(3 / 72), base: 0 });
  expect(fillRange("s1.b1.conv1.bn.running_var", [8])).toEqual({ amp: 0.5, base: 1 });
  expect(fillRange("norm.weight", [96])).toEqual({ amp: 0.2, base: 1 });
  expect(fillRange("norm.bias", [96])).toEqual({ amp: 0.1, base: 0 });
  const state = fillState([["cls_token", [1, 1, 4]], ["norm.bias", [3]]]);
  expect(state.get("norm.bias")).toEqual(fill(3, 2, 0.1));
});
