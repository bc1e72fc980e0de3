/** Teaches a model the visitor's own classes: project, training that survives a closed tab, result, exports. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Example, opfs, type TuneEpoch, type VisionModel } from "../../../index.ts";
import { loadModelInWorker } from "../../../tasks/worker.ts";
import { ModelPicker, type Opened, progressText } from "../shell/model-picker.tsx";
import { SHIPPED } from "../shell/models.ts";
import { messageOf } from "../shell/message.ts";
import { mount } from "../shell/mount.tsx";
import { type Line, Plot } from "../shell/plot.tsx";
import { download } from "../shell/save.ts";
import { readArchive, writeArchive } from "./archive.ts";
import { Classes } from "./classes.tsx";
import * as project from "./project.ts";
import { accuracyOf, type Judged, Result } from "./result.tsx";
import { TrainingForm } from "./training-form.tsx";

const STORES = { run: opfs("teach-run"), base: opfs("teach-base"), model: opfs("teach-model") } as const;
const RUN_COLOURS = ["#3fa7a0", "#e4784d", "#5b7fd1", "#c9a227"];

interface Run {
  readonly name: string;
  readonly loss: readonly number[];
  readonly epochs: readonly TuneEpoch[];
  readonly judged: readonly Judged[];
  readonly seconds: number;
}

const newId = (): string => crypto.randomUUID();

function Teach() {
  const [classes, setClasses] = useState<readonly project.ClassInfo[]>([]);
  const [pictures, setPictures] = useState<readonly project.Picture[]>([]);
  const [faults, setFaults] = useState<Readonly<Record<string, string>>>({});
  const [opened, setOpened] = useState<Opened | null>(null);
  const [taught, setTaught] = useState<VisionModel | null>(null);
  const [runs, setRuns] = useState<readonly Run[]>([]);
  const [loss, setLoss] = useState<readonly number[]>([]);
  const [status, setStatus] = useState("");
  const [fault, setFault] = useState("");
  const [unfinished, setUnfinished] = useState<project.RunRecord | null>(null);
  const stop = useRef<AbortController | null>(null);
  const [training, setTraining] = useState(false);

  useEffect(() => {
    const start = async (): Promise<void> => {
      try {
        const [kept, all, run] = await Promise.all([project.loadClasses(), project.loadPictures(), project.loadRun()]);
        setClasses(kept.length > 0 ? kept : [0, 1].map((i) => ({ id: newId(), name: `class ${i + 1}`, colour: project.COLOURS[i]! })));
        setPictures(all);
        setUnfinished(run && !run.finished ? run : null);
      } catch (error) {
        setFault(`This browser keeps nothing for this page (${messageOf(error)}): a private window, or storage that is full. You can teach, but a closed tab loses it.`);
      }
      const [base, model] = await Promise.all([STORES.base.get(), STORES.model.get()].map((bytes) => bytes.catch(() => null)));
      const first = SHIPPED[0]!;
      const from = base ? new Blob([base as Uint8Array<ArrayBuffer>]) : first.url;
      setOpened({ model: await loadModelInWorker(from, { onProgress: (p) => setStatus(progressText(p)) }), name: base ? "as last time" : first.name });
      setStatus("");
      if (model) setTaught(await loadModelInWorker(new Blob([model as Uint8Array<ArrayBuffer>])));
    };
    void start().catch((error: unknown) => setFault(messageOf(error)));
  }, []);

  const keepClasses = (next: readonly project.ClassInfo[]): void => {
    setClasses(next);
    void project.saveClasses(next).catch((error: unknown) => setFault(messageOf(error)));
  };
  const keepPicture = async (picture: project.Picture): Promise<void> => {
    await project.savePicture(picture);
    setPictures((all) => [...all, picture]);
  };
  const addFiles = async (classId: string, files: readonly File[], others: number): Promise<void> => {
    const out = others > 0 ? [`${others} ${others === 1 ? "file is" : "files are"} no pictures and were left out`] : [];
    await project.saveClasses(classes);
    for (const [i, file] of files.entries()) {
      setStatus(`reading ${i + 1} of ${files.length}`);
      try {
        await keepPicture({ id: newId(), classId, name: file.name, blob: await project.shrink(file) });
      } catch (error) {
        if ((error as Error).name === "QuotaExceededError") {
          out.push(`The browser's storage is full: ${files.length - i} pictures were left out.`);
          break;
        }
        out.push(`${file.name}: expected a picture that this browser can decode, got ${file.size === 0 ? "an empty file" : file.type || "something else"}`);
      }
    }
    setStatus("");
    setFaults((all) => ({ ...all, [classId]: out.slice(0, 5).join("; ") + (out.length > 5 ? `; and ${out.length - 5} more` : "") }));
  };

  const judge = async (model: VisionModel, held: readonly project.Picture[], labels: readonly string[], of: readonly project.ClassInfo[]): Promise<Judged[]> => {
    const judged: Judged[] = [];
    for (let i = 0; i < held.length; i += 16) {
      const batch = held.slice(i, i + 16);
      const answers = await model.classify(batch.map(({ blob }) => blob), { topK: 1 });
      answers.forEach(([best], j) => {
        const picture = batch[j]!;
        if (best) judged.push({ picture, expected: of.findIndex(({ id }) => id === picture.classId), got: labels.indexOf(best.label), probability: best.probability });
      });
      setStatus(`measuring ${judged.length} of ${held.length}`);
    }
    return judged;
  };

  const learn = async (settings: project.RunSettings, goOn: project.RunRecord | null): Promise<void> => {
    if (!opened) return;
    const named = classes.filter(({ id }) => pictures.some(({ classId }) => classId === id));
    const labels = named.map(({ name }) => name.trim());
    setFault("");
    const [trainIds, heldIds] = goOn ? [goOn.train, goOn.validation] : Object.values(project.split(pictures, named)).map((list) => list.map(({ id }) => id));
    const byId = new Map(pictures.map((picture) => [picture.id, picture]));
    const of = (ids: readonly string[]): project.Picture[] => ids.flatMap((id) => byId.get(id) ?? []);
    const nameOf = new Map(named.map(({ id, name }) => [id, name.trim()]));
    const example = ({ blob, classId }: project.Picture): Example => ({ image: blob, label: nameOf.get(classId)! });
    const record: project.RunRecord = { settings, labels, train: trainIds!, validation: heldIds!, finished: false };
    const began = performance.now();
    stop.current = new AbortController();
    setTraining(true);
    setLoss([]);
    try {
      if (!goOn) await STORES.base.set(await opened.model.save());
      await project.saveRun(record);
      const steps: number[] = [];
      const { model, finished, epochs } = await opened.model.fineTune(of(trainIds!).map(example), {
        labels,
        train: settings.train,
        epochs: settings.epochs,
        seed: settings.seed,
        ...(settings.learningRate === null ? {} : { learningRate: settings.learningRate }),
        validation: of(heldIds!).map(example),
        checkpoint: STORES.run,
        checkpointEvery: { seconds: 10 },
        signal: stop.current.signal,
        onProgress: (p) => setStatus(progressText(p)),
        onStep: ({ loss: value }) => {
          steps.push(value);
          setLoss([...steps]);
        },
      });
      if (!finished) {
        setUnfinished(record);
        setStatus("stopped; the training can go on from here");
        return;
      }
      await STORES.model.set(await model.save());
      await project.saveRun({ ...record, finished: true });
      setUnfinished(null);
      const judged = await judge(model, of(heldIds!), labels, named);
      taught?.dispose();
      setTaught(model);
      setRuns((all) => [{ name: `${settings.train}, ${settings.epochs} epochs`, loss: steps, epochs, judged, seconds: (performance.now() - began) / 1000 }, ...all].slice(0, 4));
      setStatus("");
    } catch (error) {
      setFault(messageOf(error));
      setStatus("");
    } finally {
      setTraining(false);
    }
  };

  const save = async (format: "safetensors" | "pth" | "onnx"): Promise<void> => {
    if (!taught) return;
    try {
      download(new Blob([(await taught.save({ format })) as Uint8Array<ArrayBuffer>]), `model.${format}`);
    } catch (error) {
      setFault(messageOf(error));
    }
  };
  const saveProject = async (): Promise<void> => {
    const model = taught ? ((await taught.save()) as Uint8Array<ArrayBuffer>) : null;
    download(await writeArchive({ classes, pictures, model }), "project.zip");
  };
  const openProject = async (file: File): Promise<void> => {
    try {
      const archive = await readArchive(file);
      await project.deleteProject();
      await project.saveClasses(archive.classes);
      for (const picture of archive.pictures) await project.savePicture(picture);
      setClasses(archive.classes);
      setPictures(archive.pictures);
      setUnfinished(null);
      setRuns([]);
      if (archive.model) {
        await STORES.model.set(archive.model);
        setTaught(await loadModelInWorker(new Blob([archive.model])));
      }
      setFault("");
    } catch (error) {
      setFault(messageOf(error));
    }
  };
  const deleteAll = async (): Promise<void> => {
    stop.current?.abort();
    await project.deleteProject();
    for (const store of Object.values(STORES)) await store.delete();
    setClasses([0, 1].map((i) => ({ id: newId(), name: `class ${i + 1}`, colour: project.COLOURS[i]! })));
    setPictures([]);
    setRuns([]);
    setUnfinished(null);
    setTaught(null);
    setStatus("everything was deleted");
  };

  const filled = classes.filter(({ id }) => pictures.some(({ classId }) => classId === id));
  const names = filled.map(({ name }) => name.trim());
  const why =
    filled.length < 2
      ? "At least two classes need pictures."
      : names.some((name) => name === "")
        ? "Every class needs a name."
        : new Set(names).size < names.length
          ? "Every class needs a name of its own."
          : !opened
            ? "A model is being loaded."
            : "";
  const pointsOf = (steps: readonly number[]): Line["points"] => steps.map((value, i) => [i + 1, value]);
  const curves: readonly Line[] = [
    ...(training || unfinished ? [{ name: "this run", colour: RUN_COLOURS[0]!, points: pointsOf(loss) }] : []),
    ...runs.map(({ name, loss: steps }, i) => ({ name: `${name} (${runs.length - i})`, colour: RUN_COLOURS[(i + 1) % RUN_COLOURS.length]!, points: pointsOf(steps) })),
  ];
  return (
    <>
      <Classes
        classes={classes}
        pictures={pictures}
        faults={faults}
        onRename={(id, name) => keepClasses(classes.map((one) => (one.id === id ? { ...one, name } : one)))}
        onRemove={(id) => {
          keepClasses(classes.filter((one) => one.id !== id));
          for (const picture of pictures.filter(({ classId }) => classId === id)) void project.deletePicture(picture.id);
          setPictures(pictures.filter(({ classId }) => classId !== id));
        }}
        onFiles={(id, files, others) => void addFiles(id, files, others)}
        onFrame={async (id, video) => keepPicture({ id: newId(), classId: id, name: "camera", blob: await project.shrink(video) })}
        onDelete={(picture) => {
          void project.deletePicture(picture.id);
          setPictures(pictures.filter(({ id }) => id !== picture.id));
        }}
      />
      <div class="row" style="margin: 0.8rem 0">
        <button
          type="button"
          onClick={() => keepClasses([...classes, { id: newId(), name: `class ${classes.length + 1}`, colour: project.COLOURS[classes.length % project.COLOURS.length]! }])}
        >
          Add a class
        </button>
      </div>
      <ModelPicker
        opened={opened}
        onOpen={(found) => {
          opened?.model.dispose();
          setOpened(found);
        }}
      />
      <TrainingForm
        why={why}
        transformer={opened?.model.config.arch === "deit"}
        training={training}
        unfinished={unfinished}
        onLearn={(settings) => void learn(settings, null)}
        onGoOn={(run) => void learn(run.settings, run)}
        onStop={() => stop.current?.abort()}
      />
      <p class="status" role="status">{status}</p>
      {fault && <p class="error" role="alert">{fault}</p>}
      {curves.length > 0 && (
        <section class="card" aria-label="Curves" data-steps={(training || unfinished ? loss : runs[0]!.loss).length}>
          <Plot lines={curves} x="step" y="loss" />
        </section>
      )}
      {runs.length > 0 && <Result judged={runs[0]!.judged} classes={filled} />}
      {runs.length > 1 && (
        <section class="card" style="margin-top: 1rem" aria-label="Runs compared">
          <h2>Runs</h2>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">run</th>
                  <th scope="col">held-back pictures right</th>
                  <th scope="col">time</th>
                </tr>
              </thead>
              <tbody>
                {runs.map((run, i) => (
                  <tr key={run.name + String(runs.length - i)}>
                    <td>{run.name}</td>
                    <td>{(100 * accuracyOf(run.judged)).toFixed(0)} %</td>
                    <td>{run.seconds.toFixed(0)} s</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
      <h2>Take it with you</h2>
      <div class="row">
        {(["safetensors", "pth", "onnx"] as const).map((format) => (
          <button type="button" key={format} disabled={!taught} onClick={() => void save(format)}>Model as .{format}</button>
        ))}
        <button type="button" disabled={pictures.length === 0} onClick={() => void saveProject()}>Project as .zip</button>
        <label class="button">
          Open a project
          <input type="file" accept=".zip,application/zip" hidden onChange={({ currentTarget: { files } }) => files?.[0] && void openProject(files[0])} />
        </label>
        <button type="button" onClick={() => void deleteAll()}>Delete everything</button>
      </div>
    </>
  );
}

mount(Teach);
