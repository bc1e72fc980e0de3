/** The kernel lab: a shipped kernel's text, changed, and on each pause whether it is right, how fast, and how far from this machine's ceiling. */
import { wgsl } from "@iizukak/codemirror-lang-wgsl";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { mount } from "../shell/mount.tsx";
import { messageOf } from "../shell/message.ts";
import { save } from "./save.ts";
import { staticsOf } from "./cost.ts";
import { Editor } from "./editor.tsx";
import { type Entry, loadHistory, saveHistory, withEntry } from "./history.ts";
import { HistoryView } from "./history-view.tsx";
import "./lab.css";
import { fromHash, shapeOf, toHash } from "./link.ts";
import type { FromWorker, Kernel, Message, ToWorker } from "./messages.ts";
import { inWords, isRight, type Verdict, VerdictView } from "./verdict.tsx";

const PAUSE_MS = 350;
/** Without a word from the worker for so long, its kernel is taken to loop for ever. */
const HANGS_MS = 20_000;
const FIRST = "layerNorm";
/** Where a text that hung waits for a reload. */
const HUNG = "tessera-lab-hung";

/** A text to come back to. */
interface Asked extends Pick<Entry, "op" | "kernel" | "shipped" | "code"> {
  /** It hung before: it waits for a change. */
  readonly hung?: boolean;
}

const language = wgsl();
const nothing: Verdict = { edit: 0, cases: [], of: 0, timed: null, ms: null };

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
  const worker = useRef<Worker | null>(null);
  const edit = useRef(0);
  const pause = useRef(0);
  const hangs = useRef(0);
  /** What a link or the history asks for, once the operation's kernels are known. */
  const wanted = useRef<Asked | null>(null);
  /** The size that a link of another page asks for. */
  const shape = useRef(shapeOf(location.hash));
  const now = useRef({ op, shipped, text });
  now.current = { op, shipped, text };

  const send = (message: ToWorker): void => worker.current?.postMessage(message);

  const judge = useCallback((kernel: Kernel, code: string): void => {
    clearTimeout(pause.current);
    setOld(true);
    pause.current = window.setTimeout(() => {
      setStatics(staticsOf(code));
      setFault("");
      setStatus("judging …");
      edit.current++;
      listenFor();
      send({ kind: "judge", edit: edit.current, op: now.current.op, shipped: kernel, code });
    }, PAUSE_MS);
  }, []);

  const listenFor = (): void => {
    clearTimeout(hangs.current);
    hangs.current = window.setTimeout(() => {
      setFault(`The kernel did not end within ${HANGS_MS / 1000} s. It is given up and the GPU opened anew; the text is kept, over a reload too. A GPU that the processor plays may be held until the browser is closed.`);
      const { op: name, shipped: kernel, text: code } = now.current;
      wanted.current = { op: name, kernel: kernel!.name, shipped: kernel!.code, code, hung: true };
      sessionStorage.setItem(HUNG, JSON.stringify(wanted.current));
      now.current = { ...now.current, op: "" };
      start();
    }, HANGS_MS);
  };

  const show = (kernel: Kernel, code: string): void => {
    setShipped(kernel);
    setText(code);
    setVerdict(null);
    setMessages([]);
    judge(kernel, code);
  };

  const heard = (data: FromWorker): void => {
    if ("edit" in data && data.edit !== edit.current && data.edit !== 0) return; // of a text before
    clearTimeout(hangs.current);
    switch (data.kind) {
      case "ready":
        setAbout(data);
        setStatus("");
        if (now.current.op === "") openOp(wanted.current?.op ?? shape.current?.op ?? FIRST);
        return;
      case "opened": {
        if (data.op !== now.current.op) return;
        setKernels(data.kernels);
        setStatus("");
        const asked = wanted.current;
        wanted.current = null;
        if (!asked) return show(data.kernels[0]!, data.kernels[0]!.code);
        const kernel = data.kernels.find(({ code }) => code === asked.shipped) ?? { name: asked.kernel, label: asked.kernel, code: asked.shipped };
        if (!asked.hung) return show(kernel, asked.code);
        setShipped(kernel);
        return setText(asked.code);
      }
      case "compiled": {
        setMessages(data.messages);
        const broken = data.messages.find(({ kind }) => kind === "error");
        if (broken) return setStatus(`line ${broken.line}: ${broken.text}`);
        listenFor();
        setVerdict({ ...nothing, edit: data.edit });
        return setOld(false);
      }
      case "case":
        listenFor();
        return setVerdict((before) => before && { ...before, cases: [...before.cases, data.verdict], of: data.of });
      case "timed":
        listenFor();
        return setVerdict((before) => before && { ...before, timed: data });
      case "judged":
        setStatus("");
        return setVerdict((before) => {
          if (!before) return before;
          const whole = { ...before, ms: data.ms };
          remember(whole);
          return whole;
        });
      case "failed":
        setStatus("");
        setFault(data.message.split("\n")[0]!);
        return;
    }
  };

  const remember = (whole: Verdict): void => {
    const { op: name, shipped: kernel, text: code } = now.current;
    if (!kernel) return;
    const entry = { at: Date.now(), op: name, kernel: kernel.name, shipped: kernel.code, code, right: isRight(whole), ratio: whole.timed?.time?.ratio ?? null, says: inWords(whole) };
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
    now.current = { ...now.current, op: name };
    setKernels([]);
    if (!wanted.current?.hung) {
      setVerdict(null);
      setFault("");
    }
    setStatus(`listing the kernels of ${name} …`);
    send({ kind: "open", op: name, sizes: shape.current?.op === name ? shape.current.sizes : null });
  };

  const restore = (asked: Asked): void => {
    wanted.current = asked;
    openOp(asked.op);
  };

  useEffect(() => {
    if (location.hash.length > 1 && !shape.current) {
      try {
        wanted.current = fromHash(location.hash);
      } catch (error) {
        setFault(messageOf(error));
      }
    }
    const hung = sessionStorage.getItem(HUNG);
    if (hung) wanted.current = JSON.parse(hung) as Asked;
    sessionStorage.removeItem(HUNG);
    void loadHistory().then(setEntries);
    start();
    return () => worker.current?.terminate();
  }, []);

  const link = async (): Promise<void> => {
    if (!shipped) return;
    history.replaceState(null, "", toHash({ op, kernel: shipped.name, shipped: shipped.code, code: text }));
    await navigator.clipboard?.writeText(location.href).then(
      () => setStatus("the link is in the address bar and on the clipboard"),
      () => setStatus("the link is in the address bar"),
    );
  };

  return (
    <>
      <div class="row lab-choice">
        <label>
          Operation{" "}
          <select value={op} disabled={!about} onChange={({ currentTarget }) => openOp(currentTarget.value)} data-op>
            {(about?.ops ?? []).map((name) => (
              <option key={name} value={name}>{name}</option>
            ))}
          </select>
        </label>
        <label class="lab-kernel">
          Kernel{" "}
          <select value={shipped?.name ?? ""} disabled={kernels.length === 0} onChange={({ currentTarget }) => {
            const kernel = kernels.find(({ name }) => name === currentTarget.value);
            if (kernel) show(kernel, kernel.code);
          }}>
            {kernels.map(({ name }) => (
              <option key={name} value={name}>{name}</option>
            ))}
          </select>
        </label>
        <button type="button" disabled={!shipped} onClick={() => shipped && show(shipped, shipped.code)}>As shipped</button>
        <button type="button" disabled={!shipped} onClick={() => void link()}>Link</button>
        <button type="button" disabled={!shipped} onClick={() => shipped && save(shipped.label, text)}>Save as a file</button>
      </div>
      <p class="note">{about ? `${about.adapter}${about.software ? " (software: the processor plays a GPU)" : ""}` : "…"}</p>
      <div class="lab">
        <div class="lab-text">
          {shipped ? (
            <Editor text={text} label="WGSL of the kernel" language={language} messages={messages} costs={statics.lines} onChange={(code) => {
              if (code === now.current.text) return;
              setText(code);
              judge(shipped, code);
            }} />
          ) : (
            <div class="lab-empty" />
          )}
          <p class="note">The margin counts each line's cost by its text alone: arithmetic, loads and stores as ten, barriers ‖.</p>
          {statics.notes.length > 0 && (
            <details>
              <summary>{statics.notes.length} notes on the module's form</summary>
              <ul>
                {statics.notes.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
            </details>
          )}
        </div>
        <div class="lab-side">
          <p class="status" role="status">{status}</p>
          {fault && <p class="error" role="alert">{fault}</p>}
          {verdict && <VerdictView verdict={verdict} old={old} />}
        </div>
      </div>
      <HistoryView entries={entries} onOpen={restore} />
    </>
  );
}

mount(Lab);
