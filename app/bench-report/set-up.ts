/** Downloads, first runs, and the machine and versions that the figures were measured on. */
import type { ResultFile } from "../../bench/result-file.ts";
import { titleOf } from "./contenders.ts";
import { count, el, figure, section, table, type Cell } from "./dom.ts";

export const placeOf = ({ where }: ResultFile): string =>
  ({ node: "Node", chromium: "headless Chromium", browser: "a browser" })[where] ?? where;

/** Bundles, and first runs in a fresh process or page, where the file has them. */
export function beside({ bundle, first }: ResultFile): HTMLElement | null {
  if (!bundle && !first) return null;
  const kib = (n: number): Cell => ({ text: `${figure(n / 1024)}`, value: n });
  return section(
    "Download and first run",
    bundle
      ? table(
          "bundle",
          "What a page downloads with the smallest app, in KiB",
          [
            { title: "App", cell: ([name]) => name },
            { title: "Does", cell: ([, s]) => ({ text: "error" in s ? s.error : s.does, class: "words" }) },
            { title: "As it is", cell: ([, s]) => ("error" in s ? null : kib(s.raw)) },
            { title: "gzip", cell: ([, s]) => ("error" in s ? null : kib(s.gzip)) },
            { title: "brotli", cell: ([, s]) => ("error" in s ? null : kib(s.brotli)) },
          ],
          Object.entries(bundle),
        )
      : null,
    first
      ? table(
          "first",
          "From nothing to the first result, each contender in a process or page of its own, in milliseconds",
          [
            { title: "Case", cell: (r) => r.case },
            { title: "Who", cell: (r) => titleOf(r.contender) },
            { title: "First", cell: (r) => (r.error ? { text: "failed", title: r.error, class: "failed" } : r.firstMs) },
            { title: "Then", cell: (r) => r.medianMs },
            { title: "MiB", cell: (r) => (r.memoryBytes === undefined ? null : r.memoryBytes / 2 ** 20) },
          ],
          first,
        )
      : null,
  );
}

export function setUp(result: ResultFile): HTMLElement {
  const { adapter: a, ceilings, limits, versions, rivalFlags } = result;
  const list = (pairs: readonly (readonly [string, string])[]): HTMLElement =>
    el(
      "dl",
      null,
      pairs.map(([k, v]) => [el("dt", null, k), el("dd", null, v || "–")]),
    );
  const flags = Object.entries(rivalFlags).flatMap(([who, f]) =>
    Object.entries(f).map(([name, value]) => ({ who, name, value: typeof value === "string" ? value : JSON.stringify(value) })),
  );
  return section(
    "Set-up",
    list([
      ["Adapter", [a.vendor, a.architecture, a.device, a.description].filter(Boolean).join(", ")],
      ["Kind", a.software ? "software, on the processor" : "GPU"],
      ["Features", a.features.join(", ")],
      ["Toggles", a.toggles.length > 0 ? a.toggles.join(", ") : "none"],
      ["Ceilings", `${figure(ceilings.fmaGFlops)} GFLOP/s (f32 multiply-adds), ${figure(ceilings.copyGBps)} GB/s (copy, read and written)`],
      ["Where", placeOf(result)],
      ...(result.browser
        ? [
            [
              "Browser",
              `${result.browser.userAgent}; ${count(result.browser.cores, "thread")}; ${result.browser.isolated ? "isolated: a fine clock" : "not isolated: a coarse clock, WebAssembly in one thread"}`,
            ] as const,
          ]
        : []),
      ["Commit", result.commit],
      ["Date", result.date],
      [
        "Versions",
        Object.entries(versions)
          .map(([n, v]) => `${n} ${v}`)
          .join(", "),
      ],
      ...(result.sustained
        ? []
        : [
            [
              "Samples",
              `${limits.samples} of each contender, at least ${limits.sampleMs} ms each, taking turns; at most ${limits.atMostSeconds} s a case`,
            ] as const,
          ]),
      ...(result.seconds === undefined ? [] : [["Took", `${figure(result.seconds / 60)} minutes`] as const]),
    ]),
    flags.length > 0
      ? table(
          "flags",
          "Rivals' settings",
          [
            { title: "Rival", cell: (f) => titleOf(f.who) },
            { title: "Setting", cell: (f) => ({ text: f.name, class: "words" }) },
            { title: "Value", cell: (f) => ({ text: f.value, class: "words" }) },
          ],
          flags,
        )
      : null,
  );
}
