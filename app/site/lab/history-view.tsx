/** Earlier verdicts; a press brings a text back. */
import type { Entry } from "./history.ts";

const MOST = 20;

export function HistoryView({ entries, onOpen }: { readonly entries: readonly Entry[]; readonly onOpen: (entry: Entry) => void }) {
  if (entries.length === 0) return null;
  return (
    <section class="card" style="margin-top: 1rem" aria-label="History" data-history={entries.length}>
      <h2>History</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Earlier verdicts">
        <table>
          <thead>
            <tr>
              <th scope="col">when</th>
              <th scope="col">kernel</th>
              <th scope="col">verdict</th>
              <th scope="col">speed</th>
              <th scope="col">text</th>
            </tr>
          </thead>
          <tbody>
            {entries.slice(0, MOST).map((entry) => (
              <tr key={entry.at}>
                <td>{new Date(entry.at).toLocaleString()}</td>
                <td>{entry.kernel}</td>
                <td>{entry.right ? "✓" : "✗"} {entry.says}</td>
                <td>{entry.ratio ?? "–"}</td>
                <td><button type="button" onClick={() => onOpen(entry)}>Bring back</button></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
