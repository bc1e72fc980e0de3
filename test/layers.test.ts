/** The house's one structural law: imports point down, and a kernel stands on helpers, never on another kernel. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { expect, test } from "vitest";

const LAYERS = ["engine", "kernels", "models", "train"];
/** What kernels share. Everything else in kernels/ is an operation. */
const HELPERS = [
  "math.ts",
  "reduce.ts",
  "rows.ts",
  "gemm.ts",
  "column-sums.ts",
  "bands.ts",
  "gemm-kernels.ts",
  "gemm-config.ts",
  "gemm-tiles.ts",
  "gemm-subgroup.ts",
  "gemm-shared.ts",
  "gemm-matrix-kernel.ts",
  "gemm-matrix-use.ts",
  "conv-rows.ts",
  "conv-gather.ts",
  "patch-conv.ts",
  "pointwise-conv.ts",
  "patches.ts",
  "drop-path.ts",
  "augment-records.ts",
  "attention-kernels.ts",
  "attention-products.ts",
  "softmax-rows.ts",
  "add-parts.ts",
];

const files = (layer: string): string[] => readdirSync(layer, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"));
/** What a file imports of the project, as paths from the root. */
const imports = (path: string): string[] =>
  [...readFileSync(path, "utf8").matchAll(/(?:from|import) "(\.[^"]+)"/g)].map((m) => posix.join(posix.dirname(path), m[1]!));

test("imports point down: engine <- kernels <- models <- train", () => {
  const wrong = LAYERS.flatMap((layer, rank) =>
    files(layer).flatMap((file) =>
      imports(`${layer}/${file}`)
        .filter((target) => {
          const at = LAYERS.indexOf(target.split("/")[0]!);
          return at === -1 || at > rank;
        })
        .map((target) => `${layer}/${file} -> ${target}`),
    ),
  );
  expect(wrong).toEqual([]);
});

test("a kernel imports helpers only", () => {
  const wrong = files("kernels").flatMap((file) =>
    imports(`kernels/${file}`)
      .filter((t) => t.startsWith("kernels/") && !HELPERS.includes(t.slice("kernels/".length)))
      .map((t) => `kernels/${file} -> ${t}`),
  );
  expect(wrong).toEqual([]);
});

test("imports inside a layer are acyclic", () => {
  for (const layer of LAYERS) {
    const edges = new Map(
      files(layer).map((f) => [
        f,
        imports(`${layer}/${f}`)
          .filter((t) => t.startsWith(`${layer}/`))
          .map((t) => t.slice(layer.length + 1)),
      ]),
    );
    const done = new Set<string>();
    const visit = (f: string, path: readonly string[]): void => {
      if (path.includes(f)) throw new Error(`${layer}: ${[...path, f].join(" -> ")}`);
      if (done.has(f)) return;
      for (const next of edges.get(f) ?? []) visit(next, [...path, f]);
      done.add(f);
    };
    for (const f of edges.keys()) visit(f, []);
  }
});
