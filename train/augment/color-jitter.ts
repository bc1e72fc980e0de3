/** Colour jitter as torchvision's: brightness, contrast and saturation by factors around 1, in random order. */
import type { Draws } from "./draws.ts";
import type { AugmentOp } from "./ops.ts";

const OPS = ["Brightness", "Contrast", "Color"] as const;

/** Each factor is uniform in [max(0, 1 - amount), 1 + amount); every order of the three is equally likely. 0: no jitter. */
export function sampleColorJitter(amount: number, draws: Draws): AugmentOp[] {
  if (amount === 0) return [];
  const ops = OPS.map((op): AugmentOp => ({ op, factor: draws.uniform(Math.max(0, 1 - amount), 1 + amount) }));
  for (let i = 2; i > 0; i--) {
    const j = draws.int(i + 1);
    [ops[i], ops[j]] = [ops[j]!, ops[i]!];
  }
  return ops;
}
