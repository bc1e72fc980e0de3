/** The host of a job in a headless page: files and progress lines go through the server that served the page. */
import { toError, type ErrorData } from "../jobs/errors.ts";
import type { Host } from "../jobs/host.ts";
import { pageImages } from "./page-images.ts";

export interface PageHost extends Host {
  /** Resolves when every event so far has arrived. */
  flush(): Promise<void>;
}

/** `token` is the session's secret; the server refuses requests without it. */
export function pageHost(token: string): PageHost {
  const url = (path: string) => `/__file/${token}?path=${encodeURIComponent(path)}`;
  let sent: Promise<unknown> = Promise.resolve();
  const send = (event: object) => {
    // One after another: lines must not overtake each other.
    sent = sent.then(() => fetch(`/__event/${token}`, { method: "POST", body: JSON.stringify(event) })).catch(() => undefined);
  };
  let stop = false;
  let asking: Promise<unknown> | null = null;
  const ask = async () => {
    const { stop: asked } = (await (await fetch(`/__stop/${token}`)).json()) as { stop: boolean };
    stop = asked;
  };
  return {
    async readFile(path) {
      return new Uint8Array(await (await answered(fetch(url(path)))).arrayBuffer());
    },
    images: pageImages(`/__file/${token}`),
    async writeFile(path, bytes) {
      await answered(fetch(url(path), { method: "PUT", body: new Blob([bytes as Uint8Array<ArrayBuffer>]) }));
    },
    async appendFile(path, bytes) {
      await answered(fetch(url(path), { method: "POST", body: new Blob([bytes as Uint8Array<ArrayBuffer>]) }));
    },
    async exists(path) {
      return (await fetch(url(path), { method: "HEAD" })).ok;
    },
    // Returns the last known answer and asks the server again, for the next call.
    stopAsked() {
      asking ??= ask()
        .catch(() => undefined)
        .finally(() => (asking = null));
      return stop;
    },
    log: (event) => send({ log: event }),
    progress: (state) => send({ progress: state }),
    flush: async () => void (await sent),
  };
}

async function answered(request: Promise<Response>): Promise<Response> {
  const response = await request;
  if (!response.ok) throw toError((await response.json()) as ErrorData);
  return response;
}
