/** What a run on a GPU machine measures besides cases: targets, and PyTorch in a process of its own. */
import type { ResultFile } from "../../bench/result-file.ts";
import { OURS, timingOf, type CaseResult } from "./contenders.ts";
import { el, figure, table } from "./dom.ts";

type Targets = NonNullable<ResultFile["targets"]>;
type Torch = NonNullable<ResultFile["torch"]>;

export function targets(rows: Targets): HTMLElement {
  const verdict = ({ got, least, aim }: Targets[number]): string =>
    got === null ? "not measured" : got >= aim ? "aim reached" : got >= least ? "reached" : "missed";
  return table(
    "targets",
    "What was to be reached",
    [
      { title: "What", cell: (r) => ({ text: r.note ? `${r.what} (${r.note})` : r.what, class: "words" }) },
      { title: "Unit", cell: (r) => r.unit },
      { title: "At least", cell: (r) => r.least },
      { title: "Aim", cell: (r) => r.aim },
      { title: "Measured", cell: (r) => r.got },
      { title: "", cell: (r) => ({ text: verdict(r), class: r.got !== null && r.got < r.least ? "verdict-slower" : "" }) },
    ],
    rows,
  );
}

/** Images a second of ours at the same model and precision, where a case is that. */
function ours({ mode, size, kind }: Torch["runs"][number], cases: readonly CaseResult[]): number | null {
  const half = kind === "bf16" || kind === "fp16";
  const c = cases.find((one) => one.name.startsWith(`${mode} deit_${size}_`) && one.name.endsWith(" f16") === half && timingOf(one, OURS));
  const batch = Number(/ B(\d+)/.exec(c?.name ?? "")?.[1]);
  return c && batch > 0 ? (1000 * batch) / timingOf(c, OURS)!.medianMs : null;
}

export function torch({ version, device, runs }: Torch, cases: readonly CaseResult[]): HTMLElement {
  return el(
    "div",
    null,
    el(
      "p",
      { class: "note" },
      `PyTorch ${version} on ${device}, in a process of its own before or after ours: images a second, no ratio of neighbours. Beside bf16 stands our f16.`,
    ),
    table(
      "torch",
      "Images a second",
      [
        { title: "Model", cell: (r) => `${r.mode} deit_${r.size}` },
        { title: "Precision", cell: (r) => r.kind },
        { title: "torch.compile", cell: (r) => (r.compiled ? "yes" : "no") },
        { title: "Batch", cell: (r) => (r.batch === undefined ? null : { text: String(r.batch), value: r.batch }) },
        {
          title: "PyTorch",
          cell: (r) =>
            r.imagesPerSecond === undefined
              ? { text: "failed", title: r.error ?? "", class: "failed" }
              : { text: figure(r.imagesPerSecond), value: r.imagesPerSecond },
        },
        { title: "Ours", cell: (r) => ours(r, cases) },
      ],
      runs,
    ),
  );
}
