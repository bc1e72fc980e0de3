/** The worker's side of `loadModelInWorker`: models that answer messages. A dedicated worker serves its page, a shared one every tab of the origin. */
import { expose, proxy, type ProxyMarked } from "comlink";
import type { Example, FineTuneOptions, ImageInput, LoadOptions, VisionModel } from "./api.ts";
import { loadModel } from "./load-model.ts";

/** Functions of the page by name, of its store `get`, `set` and `delete`; each call crosses to the page. */
export type Hooks = Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>;

/** Options without functions, and the names of the functions. A signal becomes a number: `abort(call)`. */
export interface SentOptions {
  readonly values: object;
  readonly names: readonly string[];
}

function received<O>({ values, names }: SentOptions, hooks: Hooks): O {
  const store = { get: () => hooks["get"]!(), set: (bytes: unknown) => hooks["set"]!(bytes), delete: () => hooks["delete"]!() };
  const functions = names.map((name) => [name, name === "checkpoint" ? store : (told: unknown) => void hooks[name]!(told)]);
  return { ...values, ...Object.fromEntries(functions) } as O;
}

/** Examples come one by one, as the page makes them. */
export interface RemoteExamples {
  next(): Promise<Example | null>;
}

/** What is asked of pictures. */
export type Answer = "classify" | "features" | "attention";

/** A model as the page sees it. */
export type RemoteModel = Omit<VisionModel, Answer | "fineTune"> & {
  readonly [name in Answer]: (call: number, images: ImageInput | readonly ImageInput[], o: object) => Promise<unknown>;
} & {
  fineTune(
    call: number,
    examples: RemoteExamples,
    options: SentOptions,
    hooks: Hooks,
  ): Promise<{ readonly model: RemoteModel & ProxyMarked; readonly finished: boolean; readonly epochs: readonly unknown[] }>;
};

/** The calls of one page that are under way, by the page's numbers. */
class Calls {
  readonly #running = new Map<number, AbortController>();

  async run<T>(call: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.#running.set(call, controller);
    try {
      return await work(controller.signal);
    } finally {
      this.#running.delete(call);
    }
  }

  abort(call: number): void {
    this.#running.get(call)?.abort();
  }
}

function remote(calls: Calls, model: VisionModel, dispose = () => model.dispose()): RemoteModel & ProxyMarked {
  const answer =
    (ask: (images: never, o: object) => Promise<unknown>) =>
    (call: number, images: ImageInput | readonly ImageInput[], o: object): Promise<unknown> =>
      calls.run(call, (signal) => ask(images as never, { ...o, signal }));
  return proxy({
    labels: model.labels,
    config: model.config,
    classify: answer(model.classify.bind(model)),
    features: answer(model.features.bind(model)),
    attention: answer(model.attention.bind(model)),
    save: model.save.bind(model),
    dispose,
    fineTune: (call: number, examples: RemoteExamples, options: SentOptions, hooks: Hooks) =>
      calls.run(call, async (signal) => {
        const tuned = await model.fineTune(generated(examples), { ...received<FineTuneOptions>(options, hooks), signal });
        return proxy({ model: remote(calls, tuned.model), finished: tuned.finished, epochs: tuned.epochs });
      }),
  }) as unknown as RemoteModel & ProxyMarked;
}

async function* generated(examples: RemoteExamples): AsyncGenerator<Example> {
  for (let example = await examples.next(); example; example = await examples.next()) yield example;
}

/** Models shared by several tabs, by file and options. */
const shared = new Map<string, { readonly model: Promise<VisionModel>; users: number }>();

/** What one page, or tab, can ask for. */
const connection = (calls = new Calls()) => ({
  async load(call: number, from: string | Blob | Uint8Array, options: SentOptions, hooks: Hooks): Promise<RemoteModel & ProxyMarked> {
    return calls.run(call, async (signal) => remote(calls, await loadModel(from, { ...received<LoadOptions>(options, hooks), signal })));
  },

  /** `key` identifies file and options; tabs with the same key share one model. */
  async share(key: string, from: string | Blob | Uint8Array, options: SentOptions, hooks: Hooks): Promise<RemoteModel & ProxyMarked> {
    const entry = shared.get(key) ?? { model: loadModel(from, received<LoadOptions>(options, hooks)), users: 0 };
    shared.set(key, entry);
    entry.users++;
    const release = () => {
      if (--entry.users > 0) return;
      shared.delete(key);
      void entry.model.then((model) => model.dispose());
    };
    try {
      return remote(calls, await entry.model, release);
    } catch (error) {
      shared.delete(key);
      throw error;
    }
  },

  abort: (call: number): void => calls.abort(call),
});

export type WorkerApi = ReturnType<typeof connection>;

const scope = globalThis as unknown as {
  onconnect?: unknown;
  addEventListener(type: "connect", listen: (event: MessageEvent) => void): void;
};
if ("onconnect" in scope) scope.addEventListener("connect", (event) => expose(connection(), event.ports[0]!));
else expose(connection());
