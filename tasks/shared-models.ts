/** Models that several tabs use at once. */
import type { Common, Progress, VisionModel } from "./api.ts";
import { unlessAborted } from "./unless-aborted.ts";

interface Entry {
  readonly model: Promise<VisionModel>;
  readonly loading: AbortController;
  /** Tabs that want to hear how far the load is. */
  readonly told: Set<(p: Progress) => void>;
  /** What they were told last, for a tab that comes later. */
  readonly latest: () => Progress | null;
  users: number;
}

/** Keeps each model once. Its load goes on while somebody waits for it; it is disposed of when its last user has released it. */
export class SharedModels {
  readonly #entries = new Map<string, Entry>();

  /**
   * The model of that key, which `load` makes where there is none, and what releases it. An aborted `signal` ends the waiting of this user.
   * Throws what `load` throws, and the signal's reason.
   */
  async use(
    key: string,
    { signal, onProgress }: Common,
    load: (o: Common) => Promise<VisionModel>,
  ): Promise<{ readonly model: VisionModel; readonly release: () => void }> {
    const entry = this.#entries.get(key) ?? this.#begin(key, load);
    entry.users++;
    if (onProgress) entry.told.add(onProgress);
    const latest = entry.latest();
    if (latest) onProgress?.(latest);
    const release = () => {
      if (onProgress) entry.told.delete(onProgress);
      if (--entry.users > 0) return;
      this.#entries.delete(key);
      entry.loading.abort();
      void entry.model.then(
        (model) => model.dispose(),
        () => undefined, // its users have been told
      );
    };
    try {
      return { model: await unlessAborted(entry.model, signal), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  #begin(key: string, load: (o: Common) => Promise<VisionModel>): Entry {
    const loading = new AbortController();
    const told: Entry["told"] = new Set();
    let latest: Progress | null = null;
    const onProgress = (p: Progress) => {
      latest = p;
      for (const tell of told) tell(p);
    };
    const entry: Entry = { model: load({ signal: loading.signal, onProgress }), loading, told, latest: () => latest, users: 0 };
    this.#entries.set(key, entry);
    return entry;
  }
}
