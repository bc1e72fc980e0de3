/**
 * Tuning in a web page: `tunePage` measures a model's questions on a visitor's adapter, once; later visits call `pageTuning` and use what
 * was found. Tables are kept in the origin's IndexedDB, one per adapter, as cli/node/tuning-cache.ts keeps them in files. Works in workers
 * too.
 *
 *   useTuning((await pageTuning()) ?? (await tunePage(modelQuestions(model, 1, false))));
 */
import { adapterName, getDevice, type AdapterDescription } from "../../engine/device.ts";
import type { Tuning } from "../../kernels/shared/tuning.ts";
import { knownTuning } from "../../kernels/shared/known-tunings.ts";
import { problemOf } from "./questions.ts";
import { tune, type Answer } from "./tune.ts";

const DATABASE = "tessera",
  STORE = "tunings",
  FORMAT = 1;

/** As a table lies in the store, by its adapter's name, a driver's version included: another one is measured anew. */
interface Table {
  readonly format: typeof FORMAT;
  readonly choices: Readonly<Record<string, string>>;
  /** All that was measured, to see why. */
  readonly answers: Readonly<Record<string, Answer>>;
}

function isTable(value: unknown): value is Table {
  const { format, choices, answers } = (value ?? {}) as Partial<Table>;
  return (
    format === FORMAT &&
    typeof answers === "object" &&
    typeof choices === "object" &&
    choices !== null &&
    Object.values(choices).every((c) => typeof c === "string")
  );
}

const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB: expected an answer, got none"));
  });

/** `null` if pages cannot store data: private windows of some browsers, blocked storage. */
async function open(): Promise<IDBDatabase | null> {
  try {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => void request.result.createObjectStore(STORE);
    return await done(request);
  } catch {
    return null;
  }
}

/** The tuning table for this adapter: this origin's, else the shipped one; `null` if there is neither. */
export async function pageTuning(adapter: AdapterDescription = getDevice().adapter): Promise<Tuning | null> {
  const db = await open();
  if (!db) return knownTuning(adapter);
  const table: unknown = await done(db.transaction(STORE).objectStore(STORE).get(adapterName(adapter)));
  db.close();
  return isTable(table) ? { source: "this page's IndexedDB", choices: table.choices } : knownTuning(adapter);
}

/** Adds answers to the adapter's table; a question's newer answer replaces the older one. False where the page may keep nothing. */
export async function savePageTuning(answers: readonly Answer[], adapter: AdapterDescription = getDevice().adapter): Promise<boolean> {
  const db = await open();
  if (!db) return false;
  // Read and written in one transaction: another tab that tunes at the same time loses nothing.
  const store = db.transaction(STORE, "readwrite").objectStore(STORE);
  const kept: unknown = await done(store.get(adapterName(adapter)));
  const before = isTable(kept) ? kept : { choices: knownTuning(adapter)?.choices ?? {}, answers: {} };
  const table: Table = {
    format: FORMAT,
    choices: { ...before.choices, ...Object.fromEntries(answers.map((a) => [a.question, a.choice])) },
    answers: { ...before.answers, ...Object.fromEntries(answers.map((a) => [a.question, a])) },
  };
  await done(store.put(table, adapterName(adapter)));
  db.close();
  return true;
}

/** Measures these questions and keeps each answer as it comes, so that a closed tab loses one at most. Returns the table as it is then. */
export async function tunePage(
  questions: readonly string[],
  onAnswer?: (answer: Answer, count: number, of: number) => void,
): Promise<Tuning> {
  const wanted = [...new Set(questions)];
  const choices: Record<string, string> = { ...(await pageTuning())?.choices };
  for (const [i, question] of wanted.entries()) {
    const problem = problemOf(question);
    if (!problem) throw new Error(`tunePage: expected questions as kernels ask them, e.g. "gemm 1x197x192x768 NT", got "${question}"`);
    try {
      const answer = await tune(problem);
      choices[question] = answer.choice;
      await savePageTuning([answer]);
      onAnswer?.(answer, i + 1, wanted.length);
    } finally {
      problem.dispose();
    }
  }
  return { source: "measured in this page", choices };
}
