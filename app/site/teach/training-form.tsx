/** How to train, and the buttons that start, stop and go on. */
import { useState } from "preact/hooks";
import type { RunRecord, RunSettings } from "./project.ts";

interface Props {
  /** Why training cannot begin; empty where it can. */
  readonly why: string;
  /** Whether the model has the attention layers that some ways are about. */
  readonly transformer: boolean;
  readonly training: boolean;
  readonly unfinished: RunRecord | null;
  readonly onLearn: (settings: RunSettings) => void;
  readonly onGoOn: (run: RunRecord) => void;
  readonly onStop: () => void;
}

const WAYS: readonly { readonly train: RunSettings["train"]; readonly name: string; readonly about: string; readonly epochs: number; readonly attention?: true }[] = [
  { train: "head", name: "Probe", about: "a new last layer on the model's features: seconds", epochs: 20 },
  { train: "lora", name: "LoRA", about: "small additions to every block: little memory, most of the gain", epochs: 20, attention: true },
  { train: "attention", name: "Attention", about: "the attention layers only", epochs: 20, attention: true },
  { train: "all", name: "Everything", about: "all weights: the most that it can learn, and the slowest", epochs: 20 },
];

export function TrainingForm({ why, transformer, training, unfinished, onLearn, onGoOn, onStop }: Props) {
  const [way, setWay] = useState(WAYS[0]!);
  const [epochs, setEpochs] = useState(way.epochs);
  const [seed, setSeed] = useState(0);
  const [rate, setRate] = useState("");
  const learningRate = rate.trim() === "" ? null : Number(rate);
  const wrong =
    learningRate !== null && !(learningRate > 0 && learningRate < 1)
      ? "Expected a learning rate between 0 and 1."
      : way.attention && !transformer
        ? `${way.name} changes attention layers; this model is convolutional and has none.`
        : "";
  return (
    <section class="card" style="margin-top: 1rem" aria-label="Training">
      <h2>Learn</h2>
      <fieldset>
        <legend>What learns</legend>
        <div class="row">
          {WAYS.map((one) => (
            <label key={one.train} title={one.about}>
              <input
                type="radio"
                name="way"
                value={one.train}
                checked={way === one}
                disabled={one.attention === true && !transformer}
                onChange={() => {
                  setWay(one);
                  setEpochs(one.epochs);
                }}
              />
              {one.name}
            </label>
          ))}
        </div>
        <p class="note">
          {way.about}
          {transformer ? "" : ". LoRA and Attention need a transformer; this model is convolutional"}
        </p>
      </fieldset>
      <div class="row">
        <label>epochs <input type="number" min={1} max={1000} value={epochs} style="width: 6rem" onInput={({ currentTarget }) => setEpochs(Number(currentTarget.value) || 1)} /></label>
        <label>learning rate <input type="text" inputMode="decimal" placeholder="chosen" value={rate} style="width: 7rem" onInput={({ currentTarget }) => setRate(currentTarget.value)} /></label>
        <label>seed <input type="number" min={0} value={seed} style="width: 6rem" onInput={({ currentTarget }) => setSeed(Number(currentTarget.value) || 0)} /></label>
      </div>
      {wrong && <p class="error" role="alert">{wrong}</p>}
      <div class="row" style="margin-top: 0.7rem">
        {training ? (
          <button type="button" class="primary" onClick={onStop}>Stop</button>
        ) : (
          <button type="button" class="primary" disabled={why !== "" || wrong !== ""} onClick={() => onLearn({ train: way.train, epochs, seed, learningRate })}>Learn</button>
        )}
        {!training && unfinished && (
          <button type="button" disabled={why !== ""} onClick={() => onGoOn(unfinished)}>
            Go on with the stopped run ({unfinished.settings.train}, {unfinished.settings.epochs} epochs)
          </button>
        )}
        <span class="note">{why}</span>
      </div>
    </section>
  );
}
