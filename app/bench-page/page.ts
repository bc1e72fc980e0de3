/** The page that benchmarks the visitor's browser: choose cases, measure, read the report, save or link it, compare it with committed results. */
import { chosenCases } from "../../bench/cases.ts";
import type { NamedResult, ResultFile } from "../../bench/result-file.ts";
import type { Measured } from "../../bench/run.ts";
import type { BenchArgs } from "../../bench/session.ts";
import { duration } from "../../jobs/files/duration.ts";
import { adapterName, describeAdapter, type AdapterDescription } from "../../engine/device.ts";
import { OURS, timed, titleOf } from "../bench-report/contenders.ts";
import { count, el, figure, times } from "../bench-report/dom.ts";
import { showReport } from "../bench-report/report.ts";
import { openResults, saveResult } from "./files.ts";
import { labOf } from "./lab.ts";
import { linked, linkOf } from "./link.ts";
import { references } from "./references.ts";
import { run, type Stage } from "./run.ts";
import { sustain } from "./sustain.ts";
import { sustainedForm, type Asked } from "./sustained-form.ts";

/** Content of about.json, which the build writes: versions, and the rival libraries that the page includes. */
export interface About {
  readonly version: string;
  readonly commit: string;
  /** Rivals by name, with the bytes that each loads. */
  readonly rivals: readonly { readonly name: string; readonly bytes: number }[];
  /** The lab's address, where the page is beside one. */
  readonly lab?: string;
}

const SUITES: readonly { readonly title: string; readonly suite: BenchArgs["suite"]; readonly quick: boolean }[] = [
  { title: "Quick", suite: "all", quick: true },
  { title: "Full", suite: "all", quick: false },
  { title: "Kernels", suite: "kernels", quick: false },
  { title: "Inference", suite: "inference", quick: false },
  { title: "Training", suite: "train", quick: false },
  { title: "Scaling", suite: "scaling", quick: false },
];
/** The rivals that are chosen at first: those that run on the same adapter. */
const USUAL = ["tfjs", "ort"];

const about = (await (await fetch("about.json")).json()) as About;
const results: NamedResult[] = [];
const report = document.getElementById("report")!;
let shown: (() => NamedResult) | null = null;
let adapter: AdapterDescription | null = null;
let running: AbortController | null = null;

const suite = el(
  "select",
  { id: "suite" },
  SUITES.map(({ title }, i) => el("option", { value: i }, title)),
);
const rivals = about.rivals.map(({ name, bytes }) => ({
  name,
  box: el("input", { type: "checkbox", name: "rival", value: name, checked: USUAL.includes(name) }),
  size: `${(bytes / 2 ** 20).toFixed(bytes < 1e7 ? 1 : 0)} MB`,
}));
const only = el("input", { id: "only", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "any" });
const samples = el("input", { id: "samples", type: "number", min: 1, step: 1, placeholder: "as usual" });
const start = el("button", { id: "start", type: "submit", class: "primary", disabled: true }, "Measure");
const cancel = el("button", { id: "cancel", type: "button", hidden: true }, "Cancel");
const save = el("button", { id: "save", type: "button", disabled: true }, "Save as JSON");
const link = el("button", { id: "link", type: "button", disabled: true }, "Link");
const files = el("input", { id: "files", type: "file", accept: ".json,application/json", multiple: true });
const which = el("p", { id: "adapter" }),
  chosen = el("p", { id: "chosen", class: "note" });
const bar = el("progress", { id: "progress", hidden: true });
const stage = el("p", { id: "stage", role: "status" }),
  latest = el("p", { id: "latest", class: "note" }),
  said = el("ul", { id: "said", "aria-live": "polite" });

const form = el(
  "form",
  null,
  el(
    "div",
    { class: "choices" },
    el("label", { for: "suite" }, "Cases", suite),
    el("label", { for: "only" }, "Only those whose name contains", only),
    el("label", { for: "samples" }, "Samples of each", samples),
  ),
  rivals.length > 0 &&
    el(
      "fieldset",
      { class: "rivals" },
      el("legend", null, "Beside Tessera"),
      rivals.map(({ name, box, size }) => el("label", null, box, el("span", null, titleOf(name), " ", el("small", null, size)))),
    ),
  chosen,
  el("div", { class: "buttons" }, start, cancel, save, link, el("label", { for: "files", class: "button" }, "Open results", files)),
);
const overMinutes = sustainedForm((asked) => void holdOut(asked));
document.getElementById("measure")!.append(which, form, overMinutes.element, bar, stage, latest, said);

const say = (text: string): void => said.append(el("li", null, text));
const args = (): BenchArgs => {
  const { suite: name, quick } = SUITES[Number(suite.value)]!;
  const asked = rivals.filter(({ box }) => box.checked).map((r) => r.name);
  const url = (path: string): string => new URL(path, document.baseURI).href;
  return {
    suite: name,
    quick,
    only: only.value.trim(),
    ...(samples.value === "" ? {} : { samples: Number(samples.value) }),
    against: Object.fromEntries(asked.map((rival) => [rival, url(`rivals/${rival}.mjs`)])),
    base: url("rivals/"),
    version: about.version,
    commit: about.commit,
  };
};

function nameAdapter(found: AdapterDescription): void {
  adapter = found;
  which.replaceChildren(
    "Adapter: ",
    el("strong", null, adapterName(found)),
    ...(found.software
      ? [
          ", ",
          el("strong", { class: "warning" }, "a software adapter"),
          ": the processor plays the GPU, and no figure says anything of a GPU.",
        ]
      : [", a GPU."]),
  );
  overMinutes.offer(found.software ? "software" : "gpu");
  countCases();
}

function countCases(): void {
  const n = chosenCases(adapter?.software ? "software" : "gpu", args()).length;
  chosen.textContent =
    n === 0 ? "No case of that name for this adapter." : `${count(n, "case")} for this adapter. Keep this tab in front while it measures.`;
  const free = running === null && adapter !== null;
  start.disabled = !free || n === 0 || !samples.validity.valid;
  overMinutes.enable(free);
}

function show(): void {
  shown = showReport(report, results, { references, ...(about.lab === undefined ? {} : { lab: labOf(about.lab) }) });
  [save.disabled, link.disabled] = [false, false];
}

function showStage({ label, done, total, note, secondsLeft }: Stage): void {
  bar.max = total;
  bar.value = done;
  stage.textContent = [
    label === "bench" ? `Case ${done + 1} of ${total}` : label,
    note,
    secondsLeft !== undefined && `about ${duration(secondsLeft)} left`,
  ]
    .filter(Boolean)
    .join(" · ");
}

function showLatest(m: Measured): void {
  const sides = Object.entries({ [OURS]: m.ours, ...m.rivals }).map(
    ([who, t]) =>
      `${titleOf(who)} ${timed(t) ? `${figure(t.medianMs)} ms${m.paired[who] ? ` (${times(m.paired[who].ratio)})` : ""}` : "–"}`,
  );
  latest.textContent = `${m.name}: ${sides.join(", ")}`;
}

/** `body` gives the result and what is said of it; null where nothing was measured. */
async function whileRunning(
  body: (signal: AbortSignal) => Promise<{ readonly result: ResultFile; readonly text: string } | null>,
): Promise<void> {
  running = new AbortController();
  said.replaceChildren();
  latest.textContent = "";
  stage.textContent = "Starting";
  bar.removeAttribute("value");
  [bar.hidden, cancel.hidden] = [false, false];
  stage.scrollIntoView({ block: "nearest" });
  countCases();
  let wasHidden = document.hidden;
  const watch = (): void => void (wasHidden ||= document.hidden);
  document.addEventListener("visibilitychange", watch);
  const awake = await navigator.wakeLock?.request("screen").catch(() => null);
  try {
    const measured = await body(running.signal);
    if (measured) {
      results.unshift({ name: `measured here at ${new Date().toLocaleTimeString()}`, result: measured.result });
      show();
    }
    stage.textContent = measured?.text ?? "Nothing was measured.";
    if (wasHidden) say("The tab was in the background for a while: a browser may have slowed it. Mind the drift of each case.");
  } catch (error) {
    stage.textContent = `It could not measure: ${(error as Error).message}`;
  } finally {
    document.removeEventListener("visibilitychange", watch);
    void awake?.release();
    running = null;
    [bar.hidden, cancel.hidden] = [true, true];
    countCases();
  }
}

const measure = (): Promise<void> =>
  whileRunning(async (signal) => {
    const result = await run(args(), { opened: nameAdapter, stage: showStage, measured: showLatest, said: say }, signal);
    return result && { result, text: `${count(result.cases.length, "case")} measured in ${duration(result.seconds!)}.` };
  });

async function holdOut(asked: Asked): Promise<void> {
  await whileRunning(async (signal) => {
    const told = (result: ResultFile): void => {
      const { seconds, imagesPerSecond } = result.sustained!.windows.at(-1)!;
      showStage({
        label: `${figure(imagesPerSecond)} images/s`,
        done: seconds,
        total: asked.seconds,
        secondsLeft: asked.seconds - seconds,
      });
      overMinutes.live(result);
    };
    const { version, commit } = about;
    const result = await sustain({ ...asked, version, commit }, asked.imagesPerRun, { opened: nameAdapter, told }, signal);
    return result && { result, text: `${count(result.sustained!.windows.length, "window")} in ${duration(result.seconds!)}.` };
  });
  overMinutes.live(null);
}

async function open(list: Iterable<File>): Promise<void> {
  try {
    results.push(...(await openResults(list)));
    if (results.length > 0) show();
  } catch (error) {
    say((error as Error).message);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void measure();
});
form.addEventListener("input", countCases);
cancel.addEventListener("click", () => running?.abort());
files.addEventListener("change", () => {
  void open([...files.files!]);
  files.value = "";
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  void open([...event.dataTransfer!.files]);
});
addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});
save.addEventListener("click", () => saveResult(shown!().result));
link.addEventListener("click", () => {
  try {
    history.replaceState(null, "", linkOf(shown!().result));
  } catch (error) {
    say((error as Error).message);
    return;
  }
  const where = "The link holds the whole result and is in the address bar";
  const copied = navigator.clipboard?.writeText(location.href) ?? Promise.reject();
  copied.then(
    () => say(`${where} and on the clipboard.`),
    () => say(`${where}.`),
  );
});

function openLink(): void {
  if (location.hash.length < 2) return;
  try {
    results.unshift(linked(location.hash));
    show();
  } catch (error) {
    say((error as Error).message);
  }
}
addEventListener("hashchange", openLink);
openLink();

const found = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
if (found) nameAdapter(describeAdapter(found.info, found.features));
else {
  which.replaceChildren(
    el(
      "strong",
      { class: "warning" },
      navigator.gpu
        ? "This browser has WebGPU and no adapter for it."
        : "This browser has no WebGPU, or this page is not from a secure address (https or localhost).",
    ),
    " It cannot measure here; results of others can be opened.",
  );
  countCases();
}
