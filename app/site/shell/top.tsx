/** Answers with bars, best first. */
import type { Prediction } from "../../../index.ts";

export function Top({ predictions }: { readonly predictions: readonly Prediction[] }) {
  return (
    <ol class="bars">
      {predictions.map(({ label, index, probability }) => (
        <li key={index}>
          <span class="name">{label}</span>
          <span class="value">{(100 * probability).toFixed(1)} %</span>
          <span class="track">
            <i style={{ width: `${100 * probability}%` }} />
          </span>
        </li>
      ))}
    </ol>
  );
}
