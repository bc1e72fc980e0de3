/** What to distil, and the buttons. */
import { useState } from "preact/hooks";
import type { RunState } from "./history.ts";
import { type Settings, SIZES } from "./messages.ts";

interface Props {
  readonly running: boolean;
  readonly paused: RunState | null;
  readonly onStart: (settings: Settings) => void;
  readonly onPause: () => void;
  readonly onGoOn: (run: RunState) => void;
  readonly onBranch: (run: RunState, settings: Settings) => void;
}

/** Whether a run with these settings can begin from the other's student. */
const sameStudent = (a: Settings, b: Settings): boolean => a.size === b.size && (a.distillation === "none") === (b.distillation === "none");

export function SettingsForm({ running, paused, onStart, onPause, onGoOn, onBranch }: Props) {
  const [settings, setSettings] = useState<Settings>({ size: "small", distillation: "soft", epochs: 10, learningRate: 1e-3, batchSize: 50, seed: 1 });
  const set = (values: Partial<Settings>): void => setSettings({ ...settings, ...values });
  const wrong = !(settings.learningRate > 0 && settings.learningRate < 1) ? "Expected a learning rate between 0 and 1." : settings.epochs < 1 ? "Expected at least one epoch." : "";
  return (
    <section class="card" aria-label="Settings">
      <div class="row">
        <label>
          teacher's labels
          <select value={settings.distillation} onChange={({ currentTarget }) => set({ distillation: currentTarget.value as Settings["distillation"] })}>
            <option value="soft">soft</option>
            <option value="hard">hard</option>
            <option value="none">no teacher</option>
          </select>
        </label>
        <label>
          student
          <select value={settings.size} onChange={({ currentTarget }) => set({ size: currentTarget.value as Settings["size"] })}>
            {Object.entries(SIZES).map(([name, { dim, depth, heads }]) => (
              <option key={name} value={name}>{name}: {depth} blocks, width {dim}, {heads} heads</option>
            ))}
          </select>
        </label>
        <label>epochs <input type="number" min={1} max={1000} value={settings.epochs} style="width: 5.5rem" onInput={({ currentTarget }) => set({ epochs: Number(currentTarget.value) })} /></label>
        <label>learning rate <input type="text" inputMode="decimal" value={settings.learningRate} style="width: 6rem" onChange={({ currentTarget }) => set({ learningRate: Number(currentTarget.value) })} /></label>
        <label>seed <input type="number" min={0} value={settings.seed} style="width: 5.5rem" onInput={({ currentTarget }) => set({ seed: Number(currentTarget.value) || 0 })} /></label>
      </div>
      {wrong && <p class="error" role="alert">{wrong}</p>}
      <div class="row" style="margin-top: 0.7rem">
        {running ? (
          <button type="button" class="primary" onClick={onPause}>Pause</button>
        ) : (
          <button type="button" class="primary" disabled={wrong !== ""} onClick={() => onStart(settings)}>Start</button>
        )}
        {paused && <button type="button" onClick={() => onGoOn(paused)}>Go on</button>}
        {paused && (
          <button type="button" disabled={wrong !== "" || !sameStudent(settings, paused.settings)} onClick={() => onBranch(paused, settings)} title="A new run with the settings above, from the paused run's student">
            Branch
          </button>
        )}
      </div>
    </section>
  );
}
