/** Every operation of the catalog at the sizes that it says are worth timing, and the update of AdamW. */
import { ops } from "../../checks/catalog.ts";
import type { Benchmark } from "../benchmark.ts";
import { adamw, both, kernel } from "./make.ts";

export const kernels: readonly Benchmark[] = [
  ...Object.values(ops)
    .filter(({ name }) => name !== "adamw") // three steps of it are compared, below
    .flatMap((op) =>
      op.timed.flatMap(({ sizes, attrs, on, quick = false }) => kernel({ sets: on ? [on] : both, quick }, op, sizes, attrs)),
    ),
  // DeiT-Ti's parameters, DeiT-B's.
  ...adamw({ sets: ["software"], quick: true }, 1048576),
  ...adamw({ sets: ["gpu"] }, 5910800),
  ...adamw({ sets: ["gpu"] }, 87338192),
];
