/** What bench/tune/page.ts does in a real page. JSON in and out. */
import { pageTuning, savePageTuning, tunePage } from "../../bench/tune/page.ts";
import type { Answer } from "../../bench/tune/tune.ts";
import type { AdapterDescription } from "../../engine/device.ts";
import { record } from "../../engine/plan.ts";
import { Tensor } from "../../engine/tensor.ts";
import { useTuning, type Tuning } from "../../kernels/shared/tuning.ts";
import { matmul } from "../../kernels/matmul.ts";

const ADAPTER: AdapterDescription = {
  vendor: "v",
  architecture: "a",
  device: "d",
  description: "driver 1.2",
  software: false,
  features: [],
};
const named = (description: string): AdapterDescription => ({ ...ADAPTER, description });

export const saved = (description: string): Promise<Tuning | null> => pageTuning(named(description));
export const savedHere = (): Promise<Tuning | null> => pageTuning();

export const save = (description: string, choices: readonly (readonly [question: string, choice: string])[]): Promise<boolean> =>
  savePageTuning(
    choices.map(([question, choice]): Answer => ({ question, choice, flops: 1, gain: 2, measured: [] })),
    named(description),
  );

/** Several answers at once, each in a transaction of its own. */
export const saveMany = (description: string, count: number): Promise<boolean[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => save(description, [[`q${i}`, "x"]])));

export async function tuned(questions: readonly string[]): Promise<{ readonly tuning: Tuning; readonly told: readonly string[] }> {
  const told: string[] = [];
  const tuning = await tunePage(questions, ({ question }, count, of) => told.push(`${question} ${count}/${of}`));
  return { tuning, told };
}

/** What lies in the store, replaced. */
export async function spoil(description: string, table: unknown): Promise<void> {
  await save(description, [["q", "x"]]); // makes the store
  await new Promise<void>((resolve, reject) => {
    const request = indexedDB.open("tessera");
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const transaction = request.result.transaction("tunings", "readwrite");
      transaction.objectStore("tunings").put(table, `v a d ${description}`);
      transaction.oncomplete = () => {
        request.result.close();
        resolve();
      };
    };
  });
}

/** As in a page that may keep nothing. */
export async function withoutStorage(): Promise<{ readonly tuning: Tuning | null; readonly kept: boolean }> {
  Object.defineProperty(globalThis, "indexedDB", { value: undefined, configurable: true });
  try {
    return { tuning: await saved("driver 1.2"), kept: await save("driver 1.2", [["q1", "z"]]) };
  } finally {
    delete (globalThis as { indexedDB?: unknown }).indexedDB;
  }
}

/** The kernels of a product of 6x5 and 5x7 once this page's table says `choice`. */
export async function kernelsBy(choice: string): Promise<readonly string[]> {
  await savePageTuning([{ question: "gemm 1x6x7x5 NN", choice, flops: 0, gain: 1, measured: [] }]);
  useTuning(await pageTuning());
  try {
    const plan = await record(() => matmul(Tensor.zeros([6, 5]), Tensor.zeros([5, 7])));
    plan.dispose();
    return plan.kernels;
  } finally {
    useTuning(null);
  }
}
