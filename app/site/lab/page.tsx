/** The kernel lab: a shipped kernel's text, changed, and on each pause whether it is right, how fast, and how far from this machine's ceiling. */
import { wgsl } from "@iizukak/codemirror-lang-wgsl";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { mount } from "../shell/mount.tsx";
import { type Asked, askedAtStart, keepHung } from "./asked.ts";
import { save } from "./save.ts";
import { CHALLENGES, Choice, NEW } from "./choice.tsx";
import { staticsOf } from "./cost.ts";
import { CostNotes } from "./cost-notes.tsx";
import { DebugView } from "./debug-view.tsx";
import { DraftForm } from "./draft-form.tsx";
import { Editor } from "./editor.tsx";
import { type Entry, loadHistory, saveHistory, withEntry } from "./history.ts";
import { HistoryView } from "./history-view.tsx";
import "./lab.css";
import { challengeOf, shapeOf, share } from "./link.ts";
import { More } from "./more.tsx";
import { type FromWorker, inLine, type Kernel, type Message, type ToWorker } from "./messages.ts";
import { type Draft, draftIn } from "../../../jobs/lab/draft-text.ts";
import type { ShapeTime } from "../../../jobs/lab/shapes.ts";
import type { Seen } from "../../../jobs/lab/debug.ts";
import { Silence } from "./silence.ts";
import { inWords, isRight, noVerdict, type Verdict, VerdictView } from "./verdict.tsx";
import { emptyDraft, workedExample } from "./worked-example.ts";

const PAUSE_MS = 350;
/** Without a word from the worker for so long, its kernel is taken to loop for ever. */
const HANGS_MS = 30_000;
/** The same while kernels are compiled, as for a training step. */
const COMPILES_MS = 300_000;
const FIRST = "layerNorm";

const language = wgsl();

function Lab() {
  const [about, setAbout] = useState<{ readonly adapter: string; readonly software: boolean; readonly ops: readonly string[] } | null>(null);
  const [op, setOp] = useState("");
  const [kernels, setKernels] = useState<readonly Kernel[]>([]);
  const [shipped, setShipped] = useState<Kernel | null>(null);
  const [text, setText] = useState("");
  const [messages, setMessages] = useState<readonly Message[]>([]);
  const [statics, setStatics] = useState(() => staticsOf(""));
  const [verdict, setVerdict] = useState<Verdict | null>(null);
  const [old, setOld] = useState(false);
  const [entries, setEntries] = useState<readonly Entry[]>([]);
  const [status, setStatus] = useState("opening the GPU …");
  const [fault, setFault] = useState("");
  const [draft, setDraft] = useState<Draft | null>(null);
  const [seen, setSeen] = useState<Seen | null>(null);
  const [shapes, setShapes] = useState<readonly ShapeTime[]>([]);
  const [challenges, setChallenges] = useState<typeof import("./challenges.tsx") | null>(null);
  const worker = useRef<Worker | null>(null);
  const edit = useRef(0);
  const pause = useRef(0);
  const hung = useRef<(ms: number) => void>(() => undefined);
  const silence = useRef(new Silence((ms) => hung.current(ms)));
  /** What a link or the history asks for, once the operation's kernels are known. */
  const wanted = useRef<Asked | null>(null);
  /** The size that a link of another page asks for. */
  const shape = useRef(shapeOf(location.hash));
  const now = useRef({ op, shipped, text, draft });
  now.current = { op, shipped, text, draft };

  const send = (message: ToWorker): void => worker.current?.postMessage(message);

  /** Asks for a verdict once nothing has been typed for a moment. */
  const judgeSoon = useCallback((what: () => ToWorker): void => {
    clearTimeout(pause.current);
    setOld(true);
    pause.current = window.setTimeout(() => {
      setFault("");
      setShapes([]);
      setStatus("judging …");
      edit.current++;
      silence.current.allow(HANGS_MS);
      send(what());
    }, PAUSE_MS);
  }, []);

  const judge = (kernel: Kernel, code: string): void =>
    judgeSoon(() => {
      setStatics(staticsOf(code));
      return { kind: "judge", edit: edit.current, op: now.current.op, shipped: kernel, code };
    });

  /** Asks for more about the text that was judged last. */
  const ask = (message: { readonly kind: "step" | "shapes" } | { readonly kind: "debug"; readonly threads: string }, says: string): void => {
    const { op: name, shipped: kernel, text: code, draft: own } = now.current;
    setFault("");
    setStatus(says);
    silence.current.allow(message.kind === "step" ? COMPILES_MS : HANGS_MS);
    if (kernel) send({ ...message, edit: edit.current, op: name, shipped: kernel, code });
    else if (own && message.kind === "debug") send({ kind: "debugDraft", threads: message.threads, edit: edit.current, draft: own });
  };

  hung.current = (ms) => {
    setFault(`The kernel did not end within ${ms / 1000} s. It is given up and the GPU opened anew; the text is kept, over a reload too. A GPU that the processor plays may be held until the browser is closed.`);
    wanted.current = { ...asked(), hung: true };
    keepHung(wanted.current);
    now.current = { ...now.current, op: "" };
    start();
  };

  /** What is in the editor, as a link and the history have it. */
  const asked = (): Asked => {
    const { op: name, shipped: kernel, text: code, draft: own } = now.current;
    return own
      ? { op: own.name, kernel: NEW, shipped: "", code: JSON.stringify(own) }
      : { op: name, kernel: kernel!.name, shipped: kernel!.code, code };
  };

  const show = (kernel: Kernel, code: string): void => {
    setShipped(kernel);
    setText(code);
    setVerdict(null);
    setMessages([]);
    setSeen(null);
    judge(kernel, code);
  };

  const heard = (data: FromWorker): void => {
    if (data.kind === "phase") return silence.current.extend(data.compiling ? COMPILES_MS : HANGS_MS);
    if ("edit" in data && data.edit !== edit.current && data.edit !== 0) return; // of a text before
    silence.current.end();
    switch (data.kind) {
      case "ready":
        setAbout(data);
        setStatus("");
        if (now.current.op === "") {
          if (challengeOf(location.hash)) void openChallenges();
          else if (shape.current && !wanted.current) openOp(shape.current.op);
          else restore(wanted.current);
        }
        return;
      case "opened": {
        if (data.op !== now.current.op) return;
        setKernels(data.kernels);
        setStatus("");
        const back = wanted.current;
        wanted.current = null;
        if (!back) return show(data.kernels[0]!, data.kernels[0]!.code);
        const kernel = data.kernels.find(({ code }) => code === back.shipped) ?? { name: back.kernel, label: back.kernel, code: back.shipped };
        if (!back.hung) return show(kernel, back.code);
        setShipped(kernel);
        return setText(back.code);
      }
      case "compiled": {
        setMessages(data.messages);
        const broken = data.messages.find(({ kind }) => kind === "error");
        if (broken) return setStatus(inLine(broken));
        silence.current.allow(HANGS_MS);
        setVerdict({ ...noVerdict, edit: data.edit, alone: now.current.draft !== null });
        return setOld(false);
      }
      case "case":
        silence.current.allow(HANGS_MS);
        return setVerdict((before) => before && { ...before, cases: [...before.cases, data.verdict], of: data.of });
      case "timed":
        silence.current.allow(HANGS_MS);
        return setVerdict((before) => before && { ...before, timed: data });
      case "judged":
        setStatus("");
        return setVerdict((before) => {
          if (!before) return before;
          const whole = { ...before, ms: data.ms };
          remember(whole);
          return whole;
        });
      case "stepped":
        setStatus("");
        return setVerdict((before) => before && { ...before, step: data.step ?? "the step that is timed here does not run this kernel" });
      case "shape":
        silence.current.allow(HANGS_MS);
        return setShapes((before) => [...before, data.shape]);
      case "debugged":
        setSeen(data.seen);
        return setStatus("");
      case "shaped":
        return setStatus("");
      case "failed":
        setStatus("");
        setFault(data.message.split("\n")[0]!);
        return;
    }
  };

  const remember = (whole: Verdict): void => {
    if (!now.current.shipped && !now.current.draft) return;
    const ratio = whole.alone ? null : (whole.timed?.time?.ratio ?? null);
    const entry = { at: Date.now(), ...asked(), right: isRight(whole), ratio, says: inWords(whole) };
    setEntries((all) => {
      const next = withEntry(all, entry);
      void saveHistory(next);
      return next;
    });
  };

  const start = (): void => {
    worker.current?.terminate();
    const own = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.current = own;
    own.onmessage = ({ data }: MessageEvent<FromWorker>) => own === worker.current && heard(data);
    own.onerror = (event) => setFault(event.message || "The worker could not be started.");
  };

  const openOp = (name: string): void => {
    setOp(name);
    setDraft(null);
    now.current = { ...now.current, op: name, draft: null };
    setKernels([]);
    if (!wanted.current?.hung) {
      setVerdict(null);
      setFault("");
    }
    if (name === CHALLENGES) {
      silence.current.end(); // what is still being judged is of no interest any more
      return void edit.current++;
    }
    setStatus(`listing the kernels of ${name} …`);
    send({ kind: "open", op: name, sizes: shape.current?.op === name ? shape.current.sizes : null });
  };

  const openChallenges = async (): Promise<void> => {
    setShipped(null);
    openOp(CHALLENGES);
    setChallenges(await import("./challenges.tsx"));
  };

  /** A new operation; judged unless it hung before. */
  const openDraft = (own: Draft, hung = false): void => {
    setOp(NEW);
    setShipped(null);
    setSeen(null);
    setVerdict(null);
    now.current = { ...now.current, op: NEW, shipped: null };
    changeDraft(own, hung);
  };

  const changeDraft = (own: Draft, hung = false): void => {
    setDraft(own);
    now.current = { ...now.current, draft: own };
    if (!hung && own !== emptyDraft) judgeSoon(() => ({ kind: "draft", edit: edit.current, draft: own }));
  };

  const restore = (back: Asked | null): void => {
    wanted.current = back;
    if (back?.shipped !== "") return openOp(back?.op ?? FIRST);
    wanted.current = null;
    openDraft(draftIn(back.code), back.hung);
  };

  useEffect(() => {
    const { asked: first, fault: wrong } = askedAtStart();
    wanted.current = first;
    setFault(wrong);
    void loadHistory().then(setEntries);
    start();
    return () => worker.current?.terminate();
  }, []);

  return (
    <>
      <Choice ops={about?.ops ?? []} op={op} kernels={kernels} shipped={shipped} onOp={(name) => (name === NEW ? openDraft(emptyDraft) : name === CHALLENGES ? void openChallenges() : openOp(name))} onKernel={(kernel) => show(kernel, kernel.code)}>
        {draft && <button type="button" onClick={() => openDraft(workedExample)}>Worked example</button>}
        {op !== CHALLENGES && <button type="button" disabled={!shipped && !draft} onClick={() => void share(asked()).then(setStatus)}>Link</button>}
        {shipped && <button type="button" onClick={() => save(shipped.label, text)}>Save as a file</button>}
      </Choice>
      {op === CHALLENGES ? challenges && <challenges.Challenges wgsl={language} /> : (
        <>
          <p class="note">{about ? `${about.adapter}${about.software ? " (software: the processor plays a GPU)" : ""}` : "…"}</p>
          <div class="lab">
            <div class="lab-text">
              {draft && <DraftForm draft={draft} messages={messages} wgsl={language} onChange={changeDraft} />}
              {shipped && (
                <Editor text={text} label="WGSL of the kernel" language={language} messages={messages} costs={statics.lines} onChange={(code) => {
                  if (code === now.current.text) return;
                  setText(code);
                  judge(shipped, code);
                }} />
              )}
              {!shipped && !draft && <div class="lab-empty" />}
              {shipped && <CostNotes notes={statics.notes} />}
              {(shipped || draft) && <DebugView seen={seen} onRun={(threads) => ask({ kind: "debug", threads }, "running it once …")} />}
            </div>
            <div class="lab-side">
              <p class="status" role="status">{status}</p>
              {fault && <p class="error" role="alert">{fault}</p>}
              {verdict && <VerdictView verdict={verdict} old={old} />}
              {verdict && shipped && <More ready={!old && verdict.ms !== null && isRight(verdict)} shapes={shapes} onShapes={() => {
                setShapes([]);
                ask({ kind: "shapes" }, "timing it at all sizes …");
              }} onStep={() => ask({ kind: "step" }, "timing a training step with it and without …")} />}
            </div>
          </div>
          <HistoryView entries={entries} onOpen={restore} />
        </>
      )}
    </>
  );
}

mount(Lab);
