/** Cases that differ in one size alone, found by their names: they tell how times grow. */
import type { CaseResult } from "./contenders.ts";

export interface Family {
  readonly title: string;
  /** Name of the size that differs. */
  readonly by: "batch" | "tokens" | "width";
  readonly unit: "images/s" | "ms";
  /** By size, upwards; three at least. */
  readonly members: readonly { readonly size: number; readonly of: CaseResult }[];
  /** The value drawn for a size and its time. */
  readonly rate: (size: number, ms: number) => number;
}

const KINDS: readonly { readonly by: Family["by"]; readonly name: RegExp; readonly title: (name: string) => string }[] = [
  { by: "batch", name: /^(?:forward|train) .* B(\d+)$/, title: (name) => name.replace(/ B\d+$/, "") },
  { by: "tokens", name: /^attention .*\bN(\d+)\b/, title: (name) => name.replace(/ N\d+/, "") },
  { by: "width", name: /^linear \d+x(\d+)x\1\b/, title: (name) => name.replace(/(\d+)x(\d+)x\2/, "$1 rows") },
  { by: "width", name: /^(?:forward|train) \w*?_dim(\d+)_depth1_/, title: (name) => name.replace(/_dim\d+/, "") },
];

export function families(cases: readonly CaseResult[]): Family[] {
  return KINDS.flatMap(({ by, name, title }) => {
    const groups = new Map<string, { size: number; of: CaseResult }[]>();
    for (const c of cases) {
      const size = name.exec(c.name)?.[1];
      if (size === undefined) continue;
      const key = title(c.name);
      groups.set(key, [...(groups.get(key) ?? []), { size: Number(size), of: c }]);
    }
    return [...groups]
      .filter(([, members]) => members.length >= 3)
      .map(
        ([key, members]): Family => ({
          title: key,
          by,
          unit: by === "batch" ? "images/s" : "ms",
          members: members.sort((a, b) => a.size - b.size),
          rate: by === "batch" ? (size, ms) => (1000 * size) / ms : (_, ms) => ms,
        }),
      );
  });
}
