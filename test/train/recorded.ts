/** What timm, torchvision and DeiT's sampler chose from given random numbers: test/golden/sampling.json. */
import { readFileSync } from "node:fs";
import type { Draws } from "../../train/augment/draws.ts";
import type { MixMode, MixSettings } from "../../train/augment/mixup.ts";

type Range = readonly [number, number];
type BoxRow = readonly [top: number, left: number, height: number, width: number];
type Call = readonly [op: string, argument?: number];
interface Recording {
  readonly policies: Record<string, readonly (readonly (readonly [name: string, prob: number, magnitude: number])[])[]>;
  readonly levels: readonly (readonly [name: string, magnitude: number, drawn: number[], calls: readonly Call[]])[];
  readonly auto: readonly (readonly [text: string, drawn: number[], calls: readonly Call[]])[];
  readonly crops: readonly (readonly [height: number, width: number, scale: Range, ratio: Range, drawn: number[], box: BoxRow])[];
  readonly erasing: readonly (readonly [
    prob: number,
    count: number,
    height: number,
    width: number,
    drawn: number[],
    boxes: readonly BoxRow[],
  ])[];
  readonly jitter: readonly (readonly [amount: number, range: Range])[];
  readonly resizes: readonly (readonly [height: number, width: number, size: number, result: Range])[];
  readonly samplers: readonly (readonly [order: number[], repeats: number, ranks: Record<string, number[][]>])[];
  readonly mixes: readonly (readonly [
    settings: MixSettings & { mixMode: MixMode },
    labels: number[],
    table: Record<"apply" | "switch" | "cutmix" | "mixup", number[]>,
    ints: number[],
    images: number[],
    targets: number[],
  ])[];
}
export const recording = JSON.parse(readFileSync(new URL("../golden/sampling.json", import.meta.url), "utf8")) as Recording;

/** The given numbers as draws; `left` is what was not taken. */
export function replay(drawn: readonly number[]): Draws & { left(): number } {
  let at = 0;
  const next = (): number => {
    if (at === drawn.length) throw new Error(`expected at most ${drawn.length} draws`);
    return drawn[at++]!;
  };
  return {
    uniform: (low = 0, high = 1) => low + (high - low) * next(),
    int: (n) => Math.floor(next() * n),
    normal: next,
    left: () => drawn.length - at,
  };
}
