/** What a judgement says: score with its range, or why the entry is refused; every size that it was right on. */
import { sizesText } from "../../../checks/challenge.ts";
import type { PageResult } from "./challenge-messages.ts";

function headline({ refused, score, scoreRange, verdict }: PageResult): string {
  if (refused) return refused.kind === "wrong" ? "Wrong" : `Refused: ${refused.kind}`;
  return `Score ${score} (${scoreRange!.join(" to ")}): ${verdict === "not told apart" ? "not told apart from the shipped kernel" : `${verdict} than the shipped kernel`}`;
}

export function ChallengeResult({ result, old }: { readonly result: PageResult; readonly old: boolean }) {
  const { refused, checks, times, seed, score, challenge } = result;
  return (
    <section class="card lab-verdict" aria-label="Judgement" data-old={old} data-score={score ?? ""} data-refused={refused?.kind ?? ""}>
      <div class="row spread">
        <h2>{headline(result)}</h2>
        {old && <span class="note">of the text before</span>}
      </div>
      {refused && <p class="error">{refused.why}</p>}
      {times.length > 0 && (
        <div class="scroll lab-times" tabIndex={0} role="region" aria-label="Times">
          <table>
            <thead><tr><th scope="col">size</th><th scope="col">entry</th><th scope="col">shipped</th><th scope="col">ratio, 95 % range</th></tr></thead>
            <tbody>
              {times.map((t) => (
                <tr key={sizesText(t.sizes)}><td>{sizesText(t.sizes)}</td><td>{t.ms} ms</td><td>{t.shippedMs} ms</td><td>{t.ratio} ({t.ratioRange.join(" to ")})</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <div class="scroll" tabIndex={0} role="region" aria-label="Sizes that were checked">
        <table>
          <thead><tr><th scope="col">checked on</th><th scope="col">from</th></tr></thead>
          <tbody>
            {checks.map(({ sizes, hidden, stretched, reversed, fault }, i) => (
              <tr key={i}><td>{fault ? "✗" : "✓"} {sizesText(sizes)}{stretched ? ", large values" : ""}{reversed ? ", other order of threads" : ""}</td><td>{hidden ? "drawn" : "published"}</td></tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="note">Drawn by seed {seed}: <code>tessera op --challenge {challenge} --file ENTRY.wgsl --seed {seed}</code> judges it on the same sizes and values; <code>--again</code> takes the saved result.</p>
    </section>
  );
}
