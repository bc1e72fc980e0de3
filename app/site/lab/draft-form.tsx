/** A new operation, typed: names of buffers, a body for each kernel, a reference in JavaScript; and its files for the repository. */
import { javascript } from "@codemirror/lang-javascript";
import type { LanguageSupport } from "@codemirror/language";
import { draftFiles, type SourceFile } from "../../../jobs/lab/draft-file.ts";
import type { Draft, DraftKernel } from "../../../jobs/lab/draft-text.ts";
import { messageOf } from "../shell/message.ts";
import { download } from "../shell/save.ts";
import { Editor } from "./editor.tsx";
import type { Message } from "./messages.ts";
import { emptyDraft } from "./worked-example.ts";

const script = javascript();
const none: readonly Message[] = [];

interface FieldProps {
  readonly name: string;
  readonly value: string;
  readonly hint: string;
  readonly onInput: (value: string) => void;
}

function Field({ name, value, hint, onInput }: FieldProps) {
  return (
    <label class="lab-field">
      <span>{name}</span>
      <input type="text" value={value} placeholder={hint} spellcheck={false} autocomplete="off" onInput={({ currentTarget }) => onInput(currentTarget.value)} data-field={name} />
    </label>
  );
}

interface DraftFormProps {
  readonly draft: Draft;
  readonly messages: readonly Message[];
  readonly wgsl: LanguageSupport;
  readonly onChange: (draft: Draft) => void;
}

export function DraftForm({ draft, messages, wgsl, onChange }: DraftFormProps) {
  const set = (change: Partial<Draft>) => onChange({ ...draft, ...change });
  const setKernel = (at: number, change: Partial<DraftKernel>) =>
    set({ kernels: draft.kernels.map((kernel, i) => (i === at ? { ...kernel, ...change } : kernel)) });
  const add = () => set({ kernels: [...draft.kernels, { ...emptyDraft.kernels[0]!, pass: "backward", reads: "dy", writes: "" }] });
  return (
    <div class="lab-draft" data-draft={draft.name}>
      <div class="lab-fields">
        <Field name="Name" value={draft.name} hint="rmsNorm" onInput={(name) => set({ name })} />
        <Field name="Inputs and their shapes" value={draft.inputs} hint="x [..,D], weight [D]" onInput={(inputs) => set({ inputs })} />
        <Field name="Output and its shape" value={draft.output} hint="y [..,D]" onInput={(output) => set({ output })} />
        <Field name="Attributes" value={draft.attrs} hint="eps = 1e-6" onInput={(attrs) => set({ attrs })} />
        <Field name="Sizes to check" value={draft.sizes} hint="1x5, 3x7x100" onInput={(sizes) => set({ sizes })} />
        <Field name="Size to time" value={draft.timed} hint="788x192" onInput={(timed) => set({ timed })} />
      </div>
      <Field name="Formula, for the file" value={draft.formula} hint="y = x / sqrt(mean(x^2) + eps) * weight" onInput={(formula) => set({ formula })} />
      {draft.kernels.map((kernel, at) => (
        <KernelFields key={at} at={at} kernel={kernel} wgsl={wgsl} messages={messages.filter((message) => message.kernel === at)} onChange={(change) => setKernel(at, change)} onRemove={at === 0 ? null : () => set({ kernels: draft.kernels.filter((_, i) => i !== at) })} />
      ))}
      <p><button type="button" onClick={add}>Add a kernel</button></p>
      <h2>Reference, in f64</h2>
      <p class="note">Statements of a JavaScript function of the inputs and of <code>{"{ rows, letters, attributes }"}</code> that returns the output's values. It runs apart from this page, in an interpreter of its own.</p>
      <Editor text={draft.reference} label="Reference in JavaScript" language={script} messages={none} onChange={(reference) => reference !== draft.reference && set({ reference })} />
      <Files draft={draft} />
    </div>
  );
}

interface KernelFieldsProps {
  readonly at: number;
  readonly kernel: DraftKernel;
  readonly wgsl: LanguageSupport;
  readonly messages: readonly Message[];
  readonly onChange: (change: Partial<DraftKernel>) => void;
  readonly onRemove: (() => void) | null;
}

function KernelFields({ at, kernel, wgsl, messages, onChange, onRemove }: KernelFieldsProps) {
  return (
    <fieldset class="card" data-kernel={at}>
      <div class="row spread">
        <h2>
          Kernel {at + 1}{" "}
          <select value={kernel.pass} aria-label={`Pass of kernel ${at + 1}`} onChange={({ currentTarget }) => onChange({ pass: currentTarget.value as DraftKernel["pass"] })}>
            <option value="forward">forward</option>
            <option value="backward">backward</option>
          </select>
        </h2>
        {onRemove && <button type="button" class="plain" onClick={onRemove}>Remove</button>}
      </div>
      <div class="lab-fields">
        <Field name="Reads" value={kernel.reads} hint="x, weight" onInput={(reads) => onChange({ reads })} />
        <Field name="Writes" value={kernel.writes} hint="y, scale [..]" onInput={(writes) => onChange({ writes })} />
        <Field name={kernel.by === "threads" ? "Threads" : "Workgroups"} value={kernel.count} hint="rows*D" onInput={(count) => onChange({ count })} />
        <label class="lab-field">
          <span>Counted in</span>
          <select value={kernel.by} onChange={({ currentTarget }) => onChange({ by: currentTarget.value as DraftKernel["by"] })}>
            <option value="threads">threads</option>
            <option value="groups">workgroups</option>
          </select>
        </label>
        <label class="lab-field">
          <span>Threads in a workgroup</span>
          <input type="number" min={1} max={1024} value={kernel.workgroup} onInput={({ currentTarget }) => currentTarget.value && onChange({ workgroup: Number(currentTarget.value) })} />
        </label>
      </div>
      <Editor text={kernel.body} label={`Body of kernel ${at + 1}`} language={wgsl} messages={messages} onChange={(body) => body !== kernel.body && onChange({ body })} />
      <details open={kernel.helpers !== ""}>
        <summary>Functions and workgroup memory</summary>
        <Editor text={kernel.helpers} label={`Functions of kernel ${at + 1}`} language={wgsl} messages={none} onChange={(helpers) => helpers !== kernel.helpers && onChange({ helpers })} />
      </details>
    </fieldset>
  );
}

function Files({ draft }: { readonly draft: Draft }) {
  let files: readonly SourceFile[];
  try {
    files = draftFiles(draft);
  } catch (error) {
    return <p class="note" data-no-files>No file yet: {messageOf(error)}.</p>;
  }
  return (
    <>
      <h2>As files of the repository</h2>
      <p class="note">There they are in <code>op</code>, <code>doctor</code>, <code>tune</code> and <code>npm test</code> at once; <code>npx biome check --write</code> formats what was typed.</p>
      {files.map(({ path, text }) => (
        <details key={path} data-file={path}>
          <summary><code>{path}</code></summary>
          <p class="row">
            <button type="button" onClick={() => void navigator.clipboard?.writeText(text)}>Copy</button>
            <button type="button" onClick={() => download(new Blob([text], { type: "text/plain" }), path.split("/").at(-1)!)}>Save</button>
          </p>
          <pre tabIndex={0} role="region" aria-label={path}>{text}</pre>
        </details>
      ))}
    </>
  );
}
