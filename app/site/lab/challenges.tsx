/** The lab's challenges: a formula, a start that is right and slow, and the shipped kernel to beat on this machine. */
import type { LanguageSupport } from "@codemirror/language";
import { useEffect, useRef, useState } from "preact/hooks";
import { download } from "../shell/save.ts";
import type { FromJudge, PageResult, Shown, ToJudge } from "./challenge-messages.ts";
import { ChallengeResult } from "./challenge-result.tsx";
import { Editor } from "./editor.tsx";
import { challengeHash, challengeOf } from "./link.ts";
import type { Message } from "./messages.ts";

/** Without a word from the worker for so long, an entry is taken to loop for ever. */
const HANGS_MS = 60_000;
const none: readonly Message[] = [];

/** An entry that is being written outlives a reload. */
const kept = (name: string): string => `tessera-lab-challenge-${name}`;

export function Challenges({ wgsl }: { readonly wgsl: LanguageSupport }) {
  const [adapter, setAdapter] = useState("");
  const [challenges, setChallenges] = useState<readonly Shown[]>([]);
  const [shown, setShown] = useState<Shown | null>(null);
  const [text, setText] = useState("");
  const [status, setStatus] = useState("opening the GPU …");
  const [fault, setFault] = useState("");
  const [messages, setMessages] = useState(none);
  const [start, setStart] = useState<PageResult | null>(null);
  const [result, setResult] = useState<PageResult | null>(null);
  const worker = useRef<Worker | null>(null);
  const hangs = useRef(0);
  const ask = useRef(0);
  const now = useRef({ shown, text });
  now.current = { shown, text };

  const judge = (name: string, code: string): void => {
    setFault("");
    setMessages(none);
    setStatus("judging …");
    listen();
    worker.current?.postMessage({ ask: ++ask.current, name, code } satisfies ToJudge);
  };

  const listen = (): void => {
    clearTimeout(hangs.current);
    hangs.current = window.setTimeout(() => {
      setFault(`The entry did not end within ${HANGS_MS / 1000} s. It is given up and the GPU opened anew; the text is kept.`);
      setStatus("");
      ask.current++;
      open();
    }, HANGS_MS);
  };

  const show = (challenge: Shown): void => {
    setShown(challenge);
    setText(sessionStorage.getItem(kept(challenge.name)) ?? challenge.start);
    setStart(null);
    setResult(null);
    history.replaceState(null, "", challengeHash(challenge.name));
    judge(challenge.name, challenge.start);
  };

  const heard = (data: FromJudge): void => {
    if ("ask" in data && data.ask !== ask.current && data.ask !== 0) return; // of a text before
    clearTimeout(hangs.current);
    switch (data.kind) {
      case "ready":
        setAdapter(data.adapter);
        setChallenges(data.challenges);
        if (!now.current.shown) show(data.challenges.find(({ name }) => name === challengeOf(location.hash)) ?? data.challenges[0]!);
        return;
      case "step":
        listen();
        return setStatus(`${data.what} (${data.done + 1} of ${data.of}) …`);
      case "judged":
        setStatus("");
        if (data.result.entry === now.current.shown?.start) setStart(data.result);
        return setResult(data.result);
      case "failed": {
        const [, line, says] = /^line (\d+): (.*)/.exec(data.message) ?? [];
        setStatus("");
        setResult(null);
        setFault(data.message.split("\n")[0]!);
        if (line !== undefined) setMessages([{ line: Number(line), column: 1, length: 200, kind: "error", text: says! }]);
      }
    }
  };

  const open = (): void => {
    worker.current?.terminate();
    const own = new Worker(new URL("./challenge-worker.ts", import.meta.url), { type: "module" });
    worker.current = own;
    own.onmessage = ({ data }: MessageEvent<FromJudge>) => own === worker.current && heard(data);
    own.onerror = (event) => setFault(event.message || "The worker could not be started.");
  };

  useEffect(() => {
    open();
    return () => {
      clearTimeout(hangs.current);
      worker.current?.terminate();
      if (challengeOf(location.hash)) history.replaceState(null, "", location.pathname);
    };
  }, []);

  const edit = (code: string): void => {
    if (!shown || code === now.current.text) return;
    setText(code);
    sessionStorage.setItem(kept(shown.name), code);
  };

  return (
    <>
      <div class="row lab-choice">
        <label class="lab-kernel">
          Challenge{" "}
          <select value={shown?.name ?? ""} disabled={!shown} onChange={({ currentTarget }) => show(challenges.find(({ name }) => name === currentTarget.value)!)} data-challenge>
            {challenges.map(({ name, title }) => (
              <option key={name} value={name}>{title}</option>
            ))}
          </select>
        </label>
        <button type="button" disabled={!shown} onClick={() => edit(shown!.start)}>Back to the start</button>
      </div>
      <p class="note">{adapter || "…"}</p>
      <div class="lab-task">
        {shown && (
          <>
            <p><code>{shown.formula}</code></p>
            <p class="note" data-factor={start?.score ?? ""}>{start ? factor(start, shown, adapter) : `How much faster the shipped kernel is than this start is measured now, on ${adapter}.`}</p>
            <details><summary>What makes the start slow</summary><p>{shown.hint}</p></details>
          </>
        )}
      </div>
      <div class="lab">
        <div class="lab-text">
          {shown ? <Editor text={text} label="WGSL of the entry" language={wgsl} messages={messages} onChange={edit} /> : <div class="lab-empty" />}
        </div>
        <div class="lab-side">
          <p class="row">
            <button type="button" class="main" disabled={!shown || status !== ""} onClick={() => judge(shown!.name, text)}>Judge</button>
            <button type="button" disabled={!result} onClick={() => download(new Blob([`${JSON.stringify(result, null, 2)}\n`], { type: "application/json" }), `${result!.challenge}.json`)}>Save the result</button>
          </p>
          <p class="status" role="status">{status}</p>
          {fault && <p class="error" role="alert">{fault}</p>}
          {result && <ChallengeResult result={result} old={result.entry !== text} />}
        </div>
      </div>
    </>
  );
}

/** The factor that the shipped kernels take less, as it was measured. */
function factor({ score, scoreRange, refused }: PageResult, { op }: Shown, adapter: string): string {
  if (score === null || !scoreRange) return `The start is refused on ${adapter}: ${refused?.why ?? ""}`;
  const times = (ratio: number) => Number((1 / ratio).toPrecision(3));
  return `On ${adapter} the shipped kernel (${op}) is ${times(score)} times as fast as this start (${times(scoreRange[1])} to ${times(scoreRange[0])}), measured just now.`;
}
