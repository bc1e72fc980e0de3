/** What `dbg(i, value);` in the text saw: for chosen threads, in a run of its own. */
import { useState } from "preact/hooks";
import type { Seen } from "../../../jobs/lab/debug.ts";

const MOST = 200;

export function DebugView({ seen, onRun }: { readonly seen: Seen | null; readonly onRun: (threads: string) => void }) {
  const [threads, setThreads] = useState("0:0-3");
  return (
    <section class="card" style="margin-top: 1rem" aria-label="Values that threads saw">
      <form class="row" onSubmit={(event) => {
        event.preventDefault();
        onRun(threads);
      }}>
        <label>
          <span><code>dbg(i, value);</code> of workgroup:threads</span>{" "}
          <input type="text" size={14} value={threads} onInput={({ currentTarget }) => setThreads(currentTarget.value)} data-threads />
        </label>
        <button type="submit">Run once</button>
      </form>
      <p class="note">A number, a bool or a vector, anywhere in the text, in loops too. Checks and times run without it.</p>
      {seen && (
        <>
          <p class="note">
            {seen.size}, {seen.workgroups.join(" × ")} workgroups: {seen.rows.length} values{seen.left > 0 ? `, ${seen.left} more found no room` : ""}{seen.rows.length > MOST ? `; the first ${MOST} are shown` : ""}.
          </p>
          <div class="scroll lab-seen" tabIndex={0} role="region" aria-label="Values" data-seen={seen.rows.length}>
            <table>
              <thead>
                <tr>
                  <th scope="col">workgroup</th>
                  <th scope="col">thread</th>
                  <th scope="col">line</th>
                  <th scope="col">i</th>
                  <th scope="col">value</th>
                </tr>
              </thead>
              <tbody>
                {seen.rows.slice(0, MOST).map(({ workgroup, thread, line, i, value, kernel }, k) => (
                  <tr key={k}>
                    <td>{workgroup}</td>
                    <td>{thread}</td>
                    <td>{kernel === undefined ? line : `kernel ${kernel + 1}, ${line}`}</td>
                    <td>{i}</td>
                    <td>{value.map((v) => (typeof v === "number" ? Number(v.toPrecision(7)) : String(v))).join(", ")}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}
