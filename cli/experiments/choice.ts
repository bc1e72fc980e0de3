/** Why a table asks in its regime: a sentence of the figures in the table of regimes. */
import type { LineGroup, TableResult } from "./results.ts";
import { gainText, one } from "./words.ts";

/** The tables, each with its reason after what it is about, where the regimes were run. */
export function withReasons(tables: readonly TableResult[]): TableResult[] {
  const regimes = tables.find(({ name }) => name === "regimes");
  if (!regimes) return [...tables];
  const reasons: Partial<Record<TableResult["name"], string | null>> = {
    distillation: gainsBy(along(regimes, /^epochs of /)),
    ablation: learntBy(along(regimes, /^the ablation's ends/)),
  };
  return tables.map((table) => {
    const reason = reasons[table.name];
    return reason ? { ...table, about: [...table.about, `The choice, by the table of regimes: ${reason}`] } : table;
  });
}

const along = ({ groups }: TableResult, axis: RegExp): LineGroup[] => groups.filter(({ at }) => at !== null && axis.test(at.axis));

function gainsBy(groups: readonly LineGroup[]): string | null {
  const said = groups.flatMap(({ at, lines }) => {
    const gains = lines.filter(({ gain }) => gain).map(({ label, gain }) => `${label} ${gainText(gain)}`);
    return gains.length > 0 ? [`${at!.value}: ${gains.join(", ")}`] : [];
  });
  return said.length === 0 ? null : `gains over no distillation by ${groups[0]!.at!.axis}: ${said.join("; ")}.`;
}

function learntBy(groups: readonly LineGroup[]): string | null {
  const said = groups.map(({ at, lines }) => {
    const each = lines.map(({ label, trainTop1, mean }) => `${label} ${one(trainTop1)} and ${one(mean)}`);
    return `${at!.value}: ${each.join(", ")}`;
  });
  return said.length === 0 ? null : `right on training and on test pictures, in percent, by ${groups[0]!.at!.axis}: ${said.join("; ")}.`;
}
