/** Mixing per batch, pair, image and half batch, against timm's Mixup with the same random numbers (its box as in 0.3.2). */
import { describe, expect, test } from "vitest";
import { drawMix, mixArrays, sampleMix, sampleMixes, type Mix, type MixMode } from "../../train/augment/mixup.ts";
import { mixedTargetsReference, mixesReference } from "../reference/mixes.ts";
import { recording, replay } from "./recorded.ts";

const DEIT = { mixup: 0.8, cutmix: 1, mixProb: 1, mixSwitchProb: 0.5 };
const [H, W] = [5, 6];

/** The draws of every row of a recorded case, in timm's order, as one `Mix` per image. */
function replayed([settings, labels, table, ints]: (typeof recording.mixes)[number]): Mix[] {
  const shared = replay(ints);
  const both = settings.mixup > 0 && (settings.cutmix > 0 || settings.cutmixMinmax);
  const rows = table.apply.map((apply, row) => {
    const uniforms = replay(both ? [apply, table.switch[row]!] : [apply]);
    const cut = settings.cutmixMinmax ? 1 : settings.cutmix;
    return drawMix(
      settings,
      { uniform: uniforms.uniform, int: shared.int, beta: (a) => table[a === cut ? "cutmix" : "mixup"][row]! },
      H,
      W,
    );
  });
  expect(shared.left()).toBe(0);
  if (settings.mixMode === "batch") return labels.map(() => rows[0]!);
  return settings.mixMode === "pair" ? [...rows, ...rows.toReversed()] : rows;
}

describe("against timm", () => {
  test.each(["batch", "pair", "elem", "half"] as const)("mode %s: images and targets", (mode) => {
    const seen = new Set<string>();
    for (const row of recording.mixes.filter(([settings]) => settings.mixMode === mode)) {
      const [settings, labels, , , images, targets] = row;
      const mixes = replayed(row);
      for (const mix of mixes) seen.add(mix.mode);
      const shape = [labels.length, 1, H, W];
      const x = Array.from({ length: labels.length * H * W }, (_, i) => (i * 37) % 251);
      // timm's half mode rounds to bytes.
      const tolerance = mode === "half" ? 0.5 + 1e-4 : 1e-3;
      const out = mixesReference(mixes, shape, x);
      expect(out).toHaveLength(images.length);
      out.forEach((v, i) => expect(Math.abs(v - images[i]!), JSON.stringify(settings)).toBeLessThan(tolerance));
      const t = mixedTargetsReference(mixes, labels, 4, 0.1);
      expect(t).toHaveLength(targets.length);
      t.forEach((v, i) => expect(Math.abs(v - targets[i]!), JSON.stringify(settings)).toBeLessThan(2e-6));
    }
    expect(seen).toEqual(new Set(["none", "mixup", "cutmix"]));
  });
});

describe("sampleMixes", () => {
  const draw = (mixMode: MixMode, count = 8, step = 3) => sampleMixes({ ...DEIT, mixMode }, 1, step, count, 32, 32);

  test("batch has one draw, pairs share theirs, images have their own, half has half as many", () => {
    expect(draw("batch")).toEqual(new Array(8).fill(sampleMix(DEIT, 1, 3, 32, 32)));
    const pairs = draw("pair");
    expect(pairs).toEqual(pairs.toReversed());
    expect(new Set(pairs.map(({ lam }) => lam)).size).toBe(4);
    expect(new Set(draw("elem").map(({ lam }) => lam)).size).toBe(8);
    expect(draw("half")).toEqual(draw("elem").slice(0, 4));
  });
  test("a row's draw depends on seed, step and row alone", () => {
    expect(draw("elem", 16).slice(0, 8)).toEqual(draw("elem"));
    expect(draw("elem", 8, 4)).not.toEqual(draw("elem"));
  });
  test("each part of a batch has draws of its own, as a batch of its own has them", () => {
    const parts = (mixMode: MixMode) => sampleMixes({ ...DEIT, mixMode }, 1, 3, 12, 32, 32, 4);
    const batch = parts("batch");
    for (const at of [0, 4, 8]) expect(new Set(batch.slice(at, at + 4)).size).toBe(1);
    expect(new Set(batch.map(({ lam }) => lam)).size).toBe(3);
    const steps = [3, 4].flatMap((step) => sampleMixes({ ...DEIT, mixMode: "batch" }, 1, step, 12, 32, 32, 4));
    expect(new Set(steps.map(({ lam }) => lam)).size).toBe(6); // no part shares the draw of another step's
    const pairs = parts("pair");
    for (const at of [0, 4, 8]) expect(pairs.slice(at, at + 4)).toEqual(pairs.slice(at, at + 4).toReversed());
    expect(new Set(pairs.map(({ lam }) => lam)).size).toBe(6);
    expect(parts("elem")).toEqual(sampleMixes({ ...DEIT, mixMode: "elem" }, 1, 3, 12, 32, 32));
    expect(() => sampleMixes({ ...DEIT, mixMode: "elem" }, 1, 3, 12, 32, 32, 8)).toThrow(
      "sampleMixes: expected a count of images that 8 divides, got 12",
    );
  });
  test("half of the images get CutMix, and the share of mixed ones is mixProb", () => {
    const all = Array.from({ length: 50 }, (_, step) =>
      sampleMixes({ ...DEIT, mixProb: 0.6, mixMode: "elem" }, 9, step, 64, 32, 32),
    ).flat();
    const count = (mode: Mix["mode"]) => all.filter((m) => m.mode === mode).length;
    expect(Math.abs(count("none") - 0.4 * 3200)).toBeLessThan(4 * Math.sqrt(3200 * 0.24));
    expect(Math.abs(count("cutmix") - 0.3 * 3200)).toBeLessThan(4 * Math.sqrt(3200 * 0.21));
  });
  test("as arrays: what a way of mixing is not drawn for, it leaves alone", () => {
    const mixes: Mix[] = [
      { mode: "mixup", lam: 0.25, box: [0, 0, 0, 0] },
      { mode: "cutmix", lam: 0.5, box: [1, 2, 3, 4] },
      { mode: "none", lam: 1, box: [0, 0, 0, 0] },
    ];
    expect(mixArrays(mixes)).toEqual({
      lam: Float32Array.of(0.25, 0.5, 1),
      imageLam: Float32Array.of(0.25, 1, 1),
      boxes: Uint32Array.of(0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0),
    });
  });
  test("an odd count and impossible sides are refused", () => {
    expect(() => draw("elem", 7)).toThrow("sampleMixes: expected an even count of images, got 7");
    expect(() => sampleMixes({ ...DEIT, mixup: 0, cutmixMinmax: [0.5, 0.5], mixMode: "elem" }, 1, 0, 2, 32, 32)).toThrow(
      "cutmixMinmax: expected shares in [0, 1]",
    );
  });
});
