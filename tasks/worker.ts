/** `loadModel` in a module worker that comes with the package: the page's thread stays free. The worker's side is model-worker.ts. */
import { AdapterError, DeviceLostError, OutOfMemoryError } from "../engine/errors.ts";
import type {
  AnswerOptions,
  Example,
  FineTuned,
  FineTuneOptions,
  ImageInput,
  LoadOptions,
  ModelConfig,
  Store,
  TuneEpoch,
  VisionModel,
} from "./api.ts";
import { ExamplesError, PictureError, StoreError, WeightsError } from "./errors.ts";
import { proxy, type ProxyMarked, type Remote, releaseProxy, transfer, wrap } from "./messages.ts";
import type { Answer, Hooks, RemoteModel, SentOptions, WorkerApi } from "./model-worker.ts";

export interface WorkerOptions extends LoadOptions {
  /** Share one worker among all tabs of the origin, and one model among loads of the same file and options. */
  readonly shared?: boolean;
}

/**
 * As `loadModel`, in a worker. Pictures are transferred (elements and canvases as an ImageBitmap of their current content); functions are
 * called in the page.
 *
 * @example
 * ```ts
 * const shared = await loadModelInWorker("/deit.safetensors", { model: "deit_tiny_distilled_patch16_224" });
 * ```
 */
export async function loadModelInWorker(
  from: string | URL | Blob | Uint8Array,
  { shared = false, ...o }: WorkerOptions = {},
): Promise<VisionModel> {
  if (o.cache)
    throw new Error("loadModelInWorker: expected cache to be left out or null, got one of the page: the worker keeps downloads itself");
  const { api, failed, close } = shared ? await connectShared() : start();
  const source = from instanceof Blob || from instanceof Uint8Array ? from : absolute(from);
  const { signal, ...options } = o;
  try {
    const { values, hooks } = parted(options);
    const loading = called(api, signal, (call) =>
      shared
        ? api.share(call, keyOf(source, options), source as string, values, hooks)
        : api.load(call, source as string | Blob | Uint8Array, values, hooks),
    );
    const model = await Promise.race([loading, failed]);
    return await local(api, model as unknown as Remote<RemoteModel>, close);
  } catch (error) {
    close();
    throw revived(error);
  }
}

interface Connection {
  readonly api: Remote<WorkerApi>;
  /** Rejects where the worker's module does not load. */
  readonly failed: Promise<never>;
  close(): void;
}

const failureOf = (worker: Worker | SharedWorker): Promise<never> =>
  new Promise((_, reject) => {
    worker.onerror = (event) =>
      reject(
        new Error(
          `loadModelInWorker: expected the worker's module to load, got ${(event as ErrorEvent).message || "an error"} (a bundler that does not ` +
            "follow new Worker(new URL(…)) needs tessera-gpu/tasks/model-worker.js as a second entry named model-worker)",
        ),
      );
  });

function start(): Connection {
  const worker = packagesWorker();
  return { api: wrap<WorkerApi>(worker), failed: failureOf(worker), close: () => worker.terminate() };
}

/** A page may not start a worker at the address of another site, such as a CDN, but one of its own that imports that address. */
function packagesWorker(): Worker {
  try {
    return new Worker(new URL("./model-worker.ts", import.meta.url), { type: "module", name: "tessera-gpu" });
  } catch (error) {
    if ((error as Error).name !== "SecurityError") throw error;
    const here = import.meta.url; // by a name, since bundlers would copy the file at a literal address
    const script = `import ${JSON.stringify(new URL("./model-worker.ts", here))};`;
    return new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), { type: "module", name: "tessera-gpu" });
  }
}

async function connectShared(): Promise<Connection> {
  if (typeof SharedWorker === "undefined")
    throw new Error("loadModelInWorker: expected a browser with SharedWorker for shared, got one without: leave it out");
  const worker = new SharedWorker(new URL("./model-worker.ts", import.meta.url), { type: "module", name: "tessera-gpu" });
  const api = wrap<WorkerApi>(worker.port);
  const { name, release } = await lockOfThisTab();
  void api.livesWith(name);
  const close = () => {
    release();
    worker.port.close();
  };
  return { api, failed: failureOf(worker), close };
}

/** A lock that is free once the tab is closed, however it ends, or when released. */
function lockOfThisTab(): Promise<{ readonly name: string; readonly release: () => void }> {
  const name = `tessera-gpu ${crypto.randomUUID()}`;
  return new Promise((resolve, reject) => {
    navigator.locks.request(name, () => new Promise<void>((release) => resolve({ name, release }))).catch(reject);
  });
}

const absolute = (url: string | URL): string => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;

function keyOf(from: string | Blob | Uint8Array, options: LoadOptions): string {
  if (typeof from !== "string")
    throw new Error("loadModelInWorker: expected a URL for shared, got bytes, which no two tabs have in common");
  return JSON.stringify([from, options]);
}

let calls = 0;

/** Gives each call a number, by which its signal can stop it. */
async function called<T>(api: Remote<WorkerApi>, signal: AbortSignal | undefined, work: (call: number) => Promise<T>): Promise<T> {
  signal?.throwIfAborted();
  const call = ++calls;
  const stop = () => void api.abort(call);
  signal?.addEventListener("abort", stop);
  try {
    return await work(call);
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Options as they are sent: values, and a proxy of the functions (and of the store), which run in the page. */
function parted(options: object, store?: Store): { values: SentOptions; hooks: Hooks & ProxyMarked } {
  const functions = Object.entries(options).filter(([, value]) => typeof value === "function");
  const names = [...functions.map(([key]) => key), ...(store ? ["checkpoint"] : [])];
  const values = Object.fromEntries(Object.entries(options).filter(([key]) => !names.includes(key)));
  return { values: { values, names }, hooks: proxy({ ...Object.fromEntries(functions), ...store }) as unknown as Hooks & ProxyMarked };
}

/** The store, and what it could not keep, which does not come back with the worker's error. */
function watchedStore(store: Store): { store: Store; refused: Uint8Array | null } {
  const watched = {
    refused: null as Uint8Array | null,
    store: {
      get: () => store.get(),
      set: (bytes: Uint8Array) =>
        store.set(bytes).catch((error: unknown) => {
          watched.refused = bytes;
          throw error;
        }),
      delete: () => store.delete(),
    },
  };
  return watched;
}

/** Wraps a model of the worker as one of the page. Closing the last model ends the worker. */
async function local(api: Remote<WorkerApi>, model: Remote<RemoteModel>, close: () => void, users = { count: 0 }): Promise<VisionModel> {
  users.count++;
  let disposed = false;
  const [labels, config] = (await Promise.all([model.labels, model.config])) as unknown as [readonly string[], ModelConfig];
  const ask = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw revived(error);
    }
  };
  const answer =
    (name: Answer) =>
    async (given: ImageInput | readonly ImageInput[], o: AnswerOptions = {}) => {
      const { signal, ...options } = o;
      const images = await Promise.all((Array.isArray(given) ? given : [given]).map(portable));
      const bitmaps = images.filter(isBitmap);
      const asked = Array.isArray(given) ? images : images[0]!;
      const sent = bitmaps.length > 0 ? transfer(asked, bitmaps) : asked; // a URL cannot be a key of Comlink's list of transfers
      return ask(() => called(api, signal, (call) => model[name](call, sent as never, options)));
    };
  return {
    labels,
    config,
    classify: answer("classify"),
    features: answer("features"),
    attention: answer("attention"),
    save: (o) => ask(() => model.save(o)),
    async fineTune(examples, { signal, checkpoint, ...options }: FineTuneOptions = {}): Promise<FineTuned> {
      const { validation } = options;
      const watched = checkpoint && watchedStore(checkpoint);
      const held = typeof validation === "object" ? await Promise.all([...validation].map(portableExample)) : validation;
      const { values, hooks } = parted({ ...options, ...(held === undefined ? {} : { validation: held }) }, watched?.store);
      const tuned = (await ask(() =>
        called(api, signal, (call) => model.fineTune(call, handedOver(examples) as never, values, hooks as never)),
      ).catch((error: unknown) => {
        throw error instanceof StoreError && watched?.refused ? new StoreError(error.message, watched.refused) : error;
      })) as unknown as Remote<{ model: RemoteModel; finished: boolean; epochs: readonly TuneEpoch[] }>;
      const [finished, epochs] = [await tuned.finished, await tuned.epochs] as unknown as [boolean, readonly TuneEpoch[]];
      return { model: await local(api, tuned.model as unknown as Remote<RemoteModel>, close, users), finished, epochs };
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      void model.dispose().then(() => {
        model[releaseProxy]();
        if (--users.count === 0) close();
      });
    },
  } as VisionModel;
}

const isBitmap = (image: unknown): image is ImageBitmap => typeof ImageBitmap !== "undefined" && image instanceof ImageBitmap;

/** The picture in a form that can be transferred. The app keeps its own ImageBitmaps. */
async function portable(image: ImageInput): Promise<string | Blob | ImageData | ImageBitmap> {
  if (typeof image === "string" || image instanceof URL) return absolute(image);
  if (image instanceof Blob || image instanceof ImageData) return image;
  if (typeof image === "object" && image !== null && "createView" in image)
    throw new PictureError(
      "loadModelInWorker: expected a picture that another thread can have, got a GPUTexture: loadModel in this thread takes it",
    );
  return createImageBitmap(image as ImageBitmapSource, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

const portableExample = async ({ image, label }: Example): Promise<Example> => ({ image: await portable(image), label });

/** Examples one by one, when the worker asks for the next. */
function handedOver(examples: Iterable<Example> | AsyncIterable<Example>) {
  const iterator = Symbol.asyncIterator in examples ? examples[Symbol.asyncIterator]() : examples[Symbol.iterator]();
  return proxy({
    async next(): Promise<Example | null> {
      const { done, value } = await iterator.next();
      if (done) return null;
      const example = await portableExample(value as Example);
      return transfer(example, [example.image].filter(isBitmap));
    },
  });
}

const KINDS = [AdapterError, DeviceLostError, OutOfMemoryError, ExamplesError, PictureError, StoreError, WeightsError] as const;

/** Restores the class of an error that came from the worker. */
function revived(error: unknown): unknown {
  const { name, message } = error as Error;
  const Kind = KINDS.find((kind) => kind.name === name);
  return Kind && !(error instanceof Kind) ? new Kind(message) : error;
}
