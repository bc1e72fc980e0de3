/** What could not be measured, whose result differs, and why. */
import type { ResultFile } from "../../bench/result-file.ts";
import { OURS, timed, titleOf } from "./contenders.ts";
import { count, el, section, table } from "./dom.ts";

export function notMeasured({ cases, absent, notRun = [], stopped }: ResultFile): HTMLElement | null {
  const reasons = new Map<string, { who: string; why: string; names: string[] }>();
  for (const c of cases)
    for (const [who, t] of Object.entries({ [OURS]: c.ours, ...c.rivals })) {
      if (timed(t)) continue;
      const at = `${who}: ${t.error}`,
        known = reasons.get(at);
      if (known) known.names.push(c.name);
      else reasons.set(at, { who, why: t.error, names: [c.name] });
    }
  const rows = [
    ...reasons.values(),
    ...Object.entries(absent).map(([who, why]) => ({ who, why: `did not start: ${why}`, names: [] as string[] })),
  ];
  if (rows.length === 0 && notRun.length === 0) return null;
  const ended =
    notRun.length > 0 &&
    el(
      "p",
      { id: "not-run" },
      el("strong", null, `${count(notRun.length, "case")} not run`),
      `: ${stopped ?? "its time was over"}. ${notRun.join(", ")}`,
    );
  return section(
    "Not measured",
    ended,
    rows.length === 0
      ? null
      : table(
          "failures",
          "Who could not, or whose result differs, and why",
          [
            { title: "Who", cell: (r) => titleOf(r.who) },
            { title: "Reason", cell: (r) => ({ text: r.why, class: "words" }) },
            {
              title: "Cases",
              cell: (r) => ({ text: r.names.length === 0 ? "all" : String(r.names.length), value: r.names.length || cases.length }),
            },
            {
              title: "Which",
              cell: (r) => ({
                text:
                  r.names.length === 0
                    ? "all"
                    : r.names.length > 4
                      ? `${r.names.slice(0, 3).join(", ")} … ${r.names.at(-1)!}`
                      : r.names.join(", "),
                title: r.names.join(", "),
                class: "words",
              }),
            },
          ],
          rows,
        ),
  );
}
