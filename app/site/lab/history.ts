/** Verdicts with their texts, the newest first, kept in this browser. */
import { createStore, get, set } from "idb-keyval";

export interface Entry {
  readonly at: number;
  readonly op: string;
  readonly kernel: string;
  readonly shipped: string;
  readonly code: string;
  readonly right: boolean;
  readonly ratio: number | null;
  readonly says: string;
}

const KEY = "entries";
const MOST = 200;
const store = () => createStore("tessera-lab", "history");

/** Nothing where this browser keeps nothing, as in some private windows. */
export const loadHistory = (): Promise<readonly Entry[]> =>
  get<readonly Entry[]>(KEY, store()).then(
    (found) => found ?? [],
    () => [],
  );

/** The list with `entry` first; an older one of the same text gives way. */
export const withEntry = (entries: readonly Entry[], entry: Entry): readonly Entry[] =>
  [entry, ...entries.filter(({ code, kernel }) => code !== entry.code || kernel !== entry.kernel)].slice(0, MOST);

export const saveHistory = (entries: readonly Entry[]): Promise<void> => set(KEY, entries, store()).catch(() => undefined);
