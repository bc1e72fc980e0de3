/** Chooses and loads a model (shipped, file, address or hub name) and shows the download's progress. */
import { useRef, useState } from "preact/hooks";
import type { Progress, VisionModel } from "../../../index.ts";
import { messageOf } from "./message.ts";
import { addressOf, openModel, SHIPPED } from "./models.ts";

export interface Opened {
  readonly model: VisionModel;
  readonly name: string;
}

const PHASES: Readonly<Record<Progress["phase"], string>> = {
  download: "downloading",
  upload: "uploading to the GPU",
  compile: "compiling kernels",
  prepare: "preparing pictures",
  train: "training",
  evaluate: "evaluating",
};

export const progressText = ({ phase, done, total }: Progress): string => `${PHASES[phase]}${total > 0 ? ` ${Math.round((100 * done) / total)} %` : " …"}`;

/** Keeps the newest model and closes the one before. */
export function ModelPicker({ opened, onOpen }: { readonly opened: Opened | null; readonly onOpen: (opened: Opened) => void }) {
  const [status, setStatus] = useState("");
  const [fault, setFault] = useState("");
  const [remote, setRemote] = useState("");
  const running = useRef<AbortController | null>(null);

  const load = async (from: string | Blob, name: string): Promise<void> => {
    running.current?.abort();
    const stop = new AbortController();
    running.current = stop;
    setFault("");
    setStatus("loading …");
    try {
      const model = await openModel(from, name, { signal: stop.signal, onProgress: (p) => setStatus(progressText(p)) });
      onOpen({ model, name });
      setStatus("");
    } catch (error) {
      if (stop.signal.aborted) return;
      setStatus("");
      setFault(`${name}: ${messageOf(error)}`);
    }
  };

  return (
    <section class="card" aria-label="Model">
      <div class="row spread">
        <h2>Model</h2>
        <span class="note">{opened ? opened.name : "none loaded"}</span>
      </div>
      <div class="row">
        {SHIPPED.map((shipped) => (
          <button type="button" key={shipped.id} title={shipped.about} onClick={() => void load(shipped.url, shipped.name)}>
            {shipped.name}
          </button>
        ))}
        <label class="button">
          A file
          <input type="file" accept=".safetensors,.pth,.pt,.bin" hidden onChange={({ currentTarget: { files } }) => files?.[0] && void load(files[0], files[0].name)} />
        </label>
      </div>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (remote) void load(addressOf(remote), remote);
        }}
      >
        <input type="text" aria-label="Address, or a name on Hugging Face's hub" placeholder="timm/deit_tiny_patch16_224.fb_in1k, or https://…" value={remote} onInput={({ currentTarget }) => setRemote(currentTarget.value)} style="flex: 1 1 16rem" />
        <button type="submit" disabled={!remote}>Fetch</button>
      </form>
      <p class="status" role="status">{status}</p>
      {fault && <p class="error" role="alert">{fault}</p>}
    </section>
  );
}
