/** Page `distil`: a small transformer learns from a convolutional teacher; runs with other settings, or without the teacher, are shown side by side. */
import { useEffect, useRef, useState } from "preact/hooks";
import test from "../../data/cifar10/test.bin?url";
import train from "../../data/cifar10/train.bin?url";
import teacher from "../../data/teacher/regnety-cifar10.safetensors?url";
import { mount } from "../shell/mount.tsx";
import { type Line, Plot } from "../shell/plot.tsx";
import { load, type RunState, save } from "./history.ts";
import { Looks } from "./looks.tsx";
import type { FromWorker, Settings, ToWorker } from "./messages.ts";
import { SettingsForm } from "./settings-form.tsx";
import { Timeline } from "./timeline.tsx";

const SOURCES = { train: new URL(train, document.baseURI).href, test: new URL(test, document.baseURI).href, teacher: new URL(teacher, document.baseURI).href };
const COLOURS = ["#3fa7a0", "#e4784d", "#5b7fd1", "#c9a227", "#a35bb8"];
const MOST_RUNS = 5;

const percent = (share: number | null): string => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
const nameOf = ({ settings: { distillation, size, epochs, learningRate }, from }: RunState): string =>
  `${distillation === "none" ? "no teacher" : `${distillation} labels`}, ${size}, ${epochs} epochs, rate ${learningRate}${from ? `, branched at step ${from.step}` : ""}`;
const newRun = (settings: Settings): RunState => ({ id: crypto.randomUUID(), settings, steps: [], evaluations: [], facts: {}, finished: false });

function Distil() {
  const [runs, setRuns] = useState<readonly RunState[]>(load);
  const [running, setRunning] = useState<string | null>(null);
  const [status, setStatus] = useState("");
  const [fault, setFault] = useState("");
  const worker = useRef<Worker | null>(null);

  useEffect(() => save(runs), [runs]);
  useEffect(() => () => worker.current?.terminate(), []);

  const change = (id: string, values: (run: RunState) => Partial<RunState>): void => setRuns((all) => all.map((run) => (run.id === id ? { ...run, ...values(run) } : run)));

  const start = (run: RunState, goOn: boolean): void => {
    setFault("");
    setRunning(run.id);
    setRuns((all) => (goOn ? all : [run, ...all].slice(0, MOST_RUNS)));
    worker.current?.terminate();
    const own = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.current = own;
    own.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      switch (data.kind) {
        case "status":
          return setStatus(data.text);
        case "facts":
          return change(run.id, ({ facts }) => ({ facts: { ...facts, ...data.facts } }));
        case "steps": // a run that goes on repeats the steps after its newest saved state
          return change(run.id, ({ steps }) => ({ steps: [...steps.filter(({ step }) => step < data.steps[0]!.step), ...data.steps] }));
        case "evaluated":
          return change(run.id, ({ evaluations }) => ({
            evaluations: [...evaluations.filter(({ step }) => step < data.evaluated.step), { ...data.evaluated, looks: data.evaluated.looks.length > 0 ? data.evaluated.looks : (evaluations.at(-1)?.looks ?? []) }],
          }));
        case "profile":
          return change(run.id, () => ({ profile: data.profile }));
        case "ended":
          setStatus(data.finished ? "finished" : "paused");
          setRunning(null);
          return change(run.id, () => ({ finished: data.finished }));
        case "failed":
          setFault(data.message);
          setStatus("");
          setRunning(null);
      }
    };
    own.onerror = (event) => {
      setFault(event.message || "The worker could not be started.");
      setRunning(null);
    };
    own.postMessage({ kind: "start", settings: run.settings, run: run.id, goOn, from: run.from?.run ?? null, data: SOURCES } satisfies ToWorker);
  };

  const current = runs[0] ?? null;
  const newest = current?.steps.at(-1);
  const best = current?.evaluations.at(-1);
  const lines: readonly Line[] = current
    ? [
        { name: "loss", colour: "#3fa7a0", points: current.steps.map(({ step, loss }) => [step, loss]) },
        { name: "labels' term", colour: "#5b7fd1", points: current.steps.map(({ step, labels }) => [step, labels]) },
        ...(current.settings.distillation === "none" ? [] : [{ name: "teacher's term", colour: "#e4784d", points: current.steps.map(({ step, teacher: term }) => [step, term] as const) }]),
      ]
    : [];
  const accuracies: readonly Line[] = [
    ...runs.map((run, i) => ({ name: nameOf(run), colour: COLOURS[i % COLOURS.length]!, points: [[0, 0.1] as const, ...run.evaluations.map(({ step, student }) => [step, student] as const)] })),
  ];
  return (
    <>
      <SettingsForm
        running={running !== null}
        paused={current !== null && !current.finished && running === null ? current : null}
        onStart={(settings) => start(newRun(settings), false)}
        onBranch={(run, settings) => start({ ...newRun(settings), from: { run: run.id, step: run.steps.at(-1)?.step ?? 0 } }, false)}
        onPause={() => worker.current?.postMessage({ kind: "pause" } satisfies ToWorker)}
        onGoOn={(run) => start(run, true)}
      />
      <p class="status" role="status">{status}</p>
      {fault && <p class="error" role="alert">{fault}</p>}
      {current && (
        <>
          <div class="grid">
            <section class="card" aria-label="Loss">
              <h2>Loss by term</h2>
              <Plot lines={lines} x="step" y="loss" />
            </section>
            <section class="card" aria-label="Accuracy">
              <h2>Test accuracy</h2>
              <Plot lines={accuracies} x="step" y="share right" />
            </section>
          </div>
          <dl class="facts card" style="margin-top: 1rem">
            <dt>Adapter</dt>
            <dd>{current.facts.adapter ?? "–"}{current.facts.software ? " (software)" : ""}</dd>
            <dt>Step</dt>
            <dd data-step={newest?.step ?? 0}>{newest ? `${newest.step} of ${newest.totalSteps}, rate ${newest.learningRate.toExponential(2)}` : "–"}</dd>
            <dt>Speed</dt>
            <dd>{newest ? `${newest.imagesPerSecond.toFixed(0)} images/s, ${(100 * newest.inputWait).toFixed(1)} % of a step waiting for pictures` : "–"}</dd>
            <dt>Student, teacher</dt>
            <dd>{percent(best?.student ?? null)}, {percent(current.facts.teacherTop1 ?? null)}</dd>
            <dt>Heads: class, distillation</dt>
            <dd>{percent(best?.classHead ?? null)}, {percent(best?.distillationHead ?? null)}</dd>
            <dt>Per step</dt>
            <dd>{current.facts.launches ? `${current.facts.launches} launches, plan of ${current.facts.planMegabytes?.toFixed(1)} MB` : "–"}</dd>
          </dl>
          <Timeline profile={current.profile ?? null} timed={current.facts.timed ?? null} />
          {best && best.looks.length > 0 && <Looks looks={best.looks} />}
        </>
      )}
      {runs.length > 1 && (
        <section class="card" style="margin-top: 1rem" aria-label="Runs side by side">
          <h2>Runs side by side</h2>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">run</th>
                  <th scope="col">steps</th>
                  <th scope="col">student</th>
                </tr>
              </thead>
              <tbody>
                {runs.map((run) => (
                  <tr key={run.id}>
                    <td>{nameOf(run)}</td>
                    <td>{run.steps.at(-1)?.step ?? 0}</td>
                    <td>{percent(run.evaluations.at(-1)?.student ?? null)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
    </>
  );
}

mount(Distil);
