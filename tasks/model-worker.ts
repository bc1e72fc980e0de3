/** The worker's side of `loadModelInWorker`: models that answer messages. A dedicated worker serves its page, a shared one every tab of the origin. */
import type { Common, FineTuneOptions, ImageInput, LoadOptions, VisionModel } from "./api.ts";
import { loadModel } from "./load-model.ts";
import { expose, proxy, type ProxyMarked } from "./messages.ts";
import { type RemoteExamples, receivedExamples } from "./remote-examples.ts";
import { SharedModels } from "./shared-models.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** Functions of the page by name, of its store `get`, `set` and `delete`; each call crosses to the page. */
export type Hooks = Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>;

/** Options without functions, and the names of the functions. A signal becomes a number: `abort(call)`. */
export interface SentOptions {
  readonly values: object;
  readonly names: readonly string[];
}

/** Options as they were before they were sent. What the page's store is asked stays without an answer once the page is gone: that rejects. */
function received<O>({ values, names }: SentOptions, hooks: Hooks, client: Client): O {
  const ask = (name: string, ...args: unknown[]) => unlessAborted(hooks[name]!(...args), client.goneSignal);
  const store = { get: () => ask("get"), set: (bytes: unknown) => ask("set", bytes), delete: () => ask("delete") };
  const functions = names.map((name) => [name, name === "checkpoint" ? store : (told: unknown) => void hooks[name]!(told)]);
  return { ...values, ...Object.fromEntries(functions) } as O;
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

/** One page of the worker's: its calls that are under way, by its numbers, and the models that it has. */
class Client {
  readonly #running = new Map<number, AbortController>();
  readonly #held = new Set<() => void>();
  readonly #gone = new AbortController();
  /** Aborted once the page has gone: it answers no more. */
  readonly goneSignal = this.#gone.signal;

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

  /** Has `release` called once: when the page asks for it, or is gone. */
  hold(release: () => void): () => void {
    const once = () => {
      if (this.#held.delete(once)) release();
    };
    this.#held.add(once);
    return once;
  }

  gone(): void {
    this.#gone.abort();
    for (const controller of this.#running.values()) controller.abort();
    for (const release of this.#held) release();
  }
}

function remote(client: Client, model: VisionModel, release = () => model.dispose()): RemoteModel & ProxyMarked {
  const answer =
    (ask: (images: never, o: object) => Promise<unknown>) =>
    (call: number, images: ImageInput | readonly ImageInput[], o: object): Promise<unknown> =>
      client.run(call, (signal) => ask(images as never, { ...o, signal }));
  return proxy({
    labels: model.labels,
    config: model.config,
    classify: answer(model.classify.bind(model)),
    features: answer(model.features.bind(model)),
    attention: answer(model.attention.bind(model)),
    save: model.save.bind(model),
    dispose: client.hold(release),
    fineTune: (call: number, examples: RemoteExamples, options: SentOptions, hooks: Hooks) =>
      client.run(call, async (signal) => {
        const tuned = await model.fineTune(receivedExamples(examples, signal), {
          ...received<FineTuneOptions>(options, hooks, client),
          signal,
        });
        return proxy({ model: remote(client, tuned.model), finished: tuned.finished, epochs: tuned.epochs });
      }),
  }) as unknown as RemoteModel & ProxyMarked;
}

const shared = new SharedModels();

/** What one page, or tab, can ask for. */
const connection = (client = new Client()) => ({
  async load(call: number, from: string | Blob | Uint8Array, options: SentOptions, hooks: Hooks): Promise<RemoteModel & ProxyMarked> {
    return client.run(call, async (signal) =>
      remote(client, await loadModel(from, { ...received<LoadOptions>(options, hooks, client), signal })),
    );
  },

  /** `key` identifies file and options; tabs with the same key share one model. */
  async share(call: number, key: string, from: string, options: SentOptions, hooks: Hooks): Promise<RemoteModel & ProxyMarked> {
    const { onProgress, ...o } = received<LoadOptions>(options, hooks, client);
    const common = (signal: AbortSignal): Common => (onProgress ? { signal, onProgress } : { signal });
    const { model, release } = await client.run(call, (signal) =>
      shared.use(key, common(signal), (told) => loadModel(from, { ...o, ...told })),
    );
    return remote(client, model, release);
  },

  abort: (call: number): void => client.abort(call),

  /** The page holds a lock of this name as long as it lives. */
  livesWith: (lock: string): void => void navigator.locks.request(lock, () => client.gone()),
});

export type WorkerApi = ReturnType<typeof connection>;

const scope = globalThis as unknown as {
  onconnect?: unknown;
  addEventListener(type: "connect", listen: (event: MessageEvent) => void): void;
};
if ("onconnect" in scope) scope.addEventListener("connect", (event) => expose(connection(), event.ports[0]!));
else expose(connection());
