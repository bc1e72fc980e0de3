/** Result of a training: accuracy on the held-back pictures, confusion matrix, and the pictures with wrong answers first. */
import { useEffect, useState } from "preact/hooks";
import type { ClassInfo, Picture } from "./project.ts";

export interface Judged {
  readonly picture: Picture;
  readonly expected: number;
  readonly got: number;
  /** Probability that the model gave its answer. */
  readonly probability: number;
}

export const accuracyOf = (judged: readonly Judged[]): number => judged.filter(({ expected, got }) => expected === got).length / Math.max(1, judged.length);

export function Result({ judged, classes }: { readonly judged: readonly Judged[]; readonly classes: readonly ClassInfo[] }) {
  const right = judged.filter(({ expected, got }) => expected === got).length;
  const sorted = [...judged].sort((a, b) => Number(a.expected === a.got) - Number(b.expected === b.got) || b.probability - a.probability);
  const counts = classes.map((_, row) => classes.map((__, column) => judged.filter(({ expected, got }) => expected === row && got === column).length));
  return (
    <section class="card" aria-label="Result">
      <h2 data-accuracy={accuracyOf(judged)}>
        {right} of {judged.length} held-back pictures right ({((100 * right) / Math.max(1, judged.length)).toFixed(0)} %)
      </h2>
      <div class="scroll">
        <table class="matrix">
          <caption class="note">Rows: what it is. Columns: what the model said.</caption>
          <thead>
            <tr>
              <td />
              {classes.map(({ id, name }) => (
                <th key={id} scope="col">{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {classes.map(({ id, name }, row) => (
              <tr key={id}>
                <th scope="row">{name}</th>
                {counts[row]!.map((count, column) => (
                  <td key={classes[column]!.id} class={row === column ? "hit" : ""}>{count || "·"}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <h2 style="margin-top: 1rem">Held-back pictures, wrong ones first</h2>
      <ul class="thumbs">
        {sorted.slice(0, 60).map(({ picture, expected, got, probability }) => (
          <li key={picture.id}>
            <BlobImage
              blob={picture.blob}
              alt={`${classes[expected]!.name}, taken for ${classes[got]!.name} (${(100 * probability).toFixed(0)} %)`}
              style={{ outline: expected === got ? "none" : "3px solid var(--bad)", outlineOffset: "-3px" }}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** An image element of a blob; its object URL is revoked when the element is removed. */
export function BlobImage({ blob, alt, style }: { readonly blob: Blob; readonly alt: string; readonly style?: Record<string, string> }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url ? <img src={url} alt={alt} title={alt} width={56} height={56} loading="lazy" {...(style ? { style } : {})} /> : <span style="display: block; width: 56px; height: 56px" />;
}
