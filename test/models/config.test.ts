/** Sizes that a config claims: rounded as timm rounds, refused before anything is made from them where they are of no model. */
import { describe, expect, test } from "vitest";
import { refusing, UsageError } from "../../jobs/errors.ts";
import { AdapterError, DeviceLostError, OutOfMemoryError, ShaderError, StalePlanError, ValidationError } from "../../engine/errors.ts";
import { createModel } from "../../models/model.ts";
import { quote, shown } from "../../models/shown.ts";

const small = { arch: "deit", imgSize: 32, patchSize: 8, dim: 32, depth: 2, heads: 2, numClasses: 10 };
const small2 = { arch: "regnety", imgSize: 32, depth: 4 };

describe("DeiT", () => {
  // timm: int(dim * mlp_ratio).
  test.each([
    [33, 3.5, 115],
    [30, 3.55, 106],
    [192, 2.67, 512],
    [24, 1 / 3, 8],
    [48, 0.0625, 3],
    [10, 0.29, 2],
  ])("dim %d times mlpRatio %d has a hidden layer of %d", (dim, mlpRatio, hidden) => {
    const model = createModel({ ...small, dim, heads: dim > 100 ? 3 : 1, mlpRatio });
    expect(model.params.find((p) => p.name === "blocks.0.mlp.fc1.weight")!.shape).toEqual([hidden, dim]);
    expect(model.params.find((p) => p.name === "blocks.0.mlp.fc2.weight")!.shape).toEqual([dim, hidden]);
  });
  test.each([
    [{ dim: 160, heads: 1 }, "deit: expected dim / heads of at most 128, got 160 (dim 160, heads 1)"],
    [{ depth: 1e9 }, "deit: expected a depth of at most 1000, got 1000000000"],
    [{ depth: 1001 }, "at most 1000, got 1001"],
    [{ dim: 2 ** 20, heads: 2 ** 14 }, "deit: expected at most 8589934592 parameters, got some"],
    [{ imgSize: 2 ** 24, patchSize: 1 }, "at most 8589934592 parameters"],
    [{ numClasses: 1e12 }, "at most 8589934592 parameters"],
    [{ numClasses: -1 }, "deit: expected numClasses of 0 or more, got -1"],
    [{ mlpRatio: 0.001 }, "deit: expected mlpRatio of at least 1 / dim, got 0.001 of dim 32"],
    [{ mlpRatio: "4" }, 'deit: expected a positive mlpRatio, got "4"'],
    [{ mlpRatio: [4] }, "deit: expected a positive mlpRatio, got [4]"],
    [{ dim: "32" }, 'deit: expected a positive dim, got "32"'],
    [{ depth: null }, "deit: expected a positive depth, got null"],
    [{ rope: "mixed" }, 'deit: expected rope "dinov3" or "eva02" or null, got "mixed"'],
    [{ swiglu: "split" }, "deit: expected separate query and key, or swiglu, beside rope alone, got null"],
    [{ rope: "eva02", mlpNorm: true }, 'deit: expected mlpNorm beside swiglu "split" alone, got null'],
    [{ rope: "eva02", dim: 36 }, "deit: expected no distillation, and heads of a multiple of 4 channels, beside rope, got"],
    [{ rope: "dinov3", distilled: true }, "deit: expected no distillation, and heads of a multiple of 4 channels, beside rope, got"],
  ])("%o is refused", (change, message) => {
    expect(() => createModel({ ...small, ...change })).toThrow(message);
  });
  test("a depth of 1000 and no classes are models", () => {
    expect(createModel({ ...small, depth: 1000 }).params.length).toBe(12 * 1000 + 8);
    expect(createModel({ ...small, numClasses: 0 }).numClasses).toBe(0);
  });
});

describe("RegNetY", () => {
  test.each([
    [{ depth: 1e9 }, "regnety: expected a depth of at most 1000, got 1000000000"],
    [{ w0: 2 ** 20 }, "regnety: expected a width of at most 65536"],
    [{ wa: 1e9 }, "regnety: expected a width of at most 65536"],
    [{ stemWidth: 1e9 }, "regnety: expected a width of at most 65536"],
    [{ wa: "0" }, 'regnety: expected wa of 0 or more and wm above 1, got "0" and 2.49'],
    [{ wm: 1 }, "wm above 1, got 36.44 and 1"],
    [{ seRatio: 0 }, "regnety: expected a positive seRatio, got 0"],
    [{ seRatio: 0.001 }, "regnety: expected seRatio of at least 1 / stemWidth"],
    [{ w0: 2 }, "regnety: expected w0 of 8 or more, got 2"],
    [{ numClasses: 1e9 }, "regnety: expected a numClasses of at most 65536"],
  ])("%o is refused", (change, message) => {
    expect(() => createModel({ ...small2, ...change })).toThrow(message);
  });
});

test("timm's tags of weights are no part of a model's name", () => {
  for (const [given, name] of [
    ["deit_tiny_patch16_224.fb_in1k", "deit_tiny_patch16_224"],
    ["vit_base_patch16_384.augreg_in21k_ft_in1k", "vit_base_patch16_384"],
    ["regnety_160.deit_in1k", "regnety_160"],
    ["regnety_004", "regnety_004"],
  ] as const)
    expect(createModel(given, 7)).toMatchObject({ name, numClasses: 7 });
  expect(() => createModel("deit_giant.fb_in1k")).toThrow('got "deit_giant.fb_in1k"');
});

describe("what is reported as bad input", () => {
  test("a plain error, without its function's name and with the file", () => {
    expect(() =>
      refusing(() => {
        throw new Error("model: expected a, got b");
      }, "w.pth"),
    ).toThrow(new UsageError("expected a, got b (w.pth)"));
    expect(refusing(() => 3)).toBe(3);
  });
  test("never the engine's errors, nor the runtime's", () => {
    const shader = new ShaderError("k", [{ lineNum: 1, linePos: 1, message: "m" } as GPUCompilationMessage], "code");
    for (const error of [
      new OutOfMemoryError("expected room"),
      new DeviceLostError("lost"),
      new ValidationError("invalid"),
      new StalePlanError("stale"),
      new AdapterError("none"),
      shader,
      new RangeError("Array buffer allocation failed"),
      new TypeError("x is undefined"),
      new UsageError("expected a"),
    ]) {
      let got: unknown;
      try {
        refusing(() => {
          throw error;
        }, "w.pth");
      } catch (thrown) {
        got = thrown;
      }
      expect(got).toBe(error);
    }
  });
});

test("text from files is shown, not sent to the terminal", () => {
  expect(shown("\u001b]0;title\u0007\u009b2J\r\n\tä語👩‍🔬")).toBe("\\u001b]0;title\\u0007\\u009b2J\\u000d\\u000a\\u0009ä語👩‍🔬");
  expect(shown("\u202egpj.exe\u2028")).toBe("\\u202egpj.exe\\u2028");
  expect(quote('a"\u001b[2J\n')).toBe('"a\\"\\u001b[2J\\n"');
  expect(quote("x".repeat(100))).toBe(`"${"x".repeat(80)}…"`);
});
