/** In a page: damaged results through the reader, and what it accepts through the report, beside a whole result for the comparison. */
import { showReport } from "../../app/bench-report/report.ts";
import { readResults, type NamedResult } from "../../bench/result-file.ts";
import { Random } from "../../kernels/shared/random.ts";
import { made } from "../bench/made.ts";
import { damagedJson } from "../fuzz-json.ts";

const WHOLE = made({ cases: { "matmul 64x64x64": 2, "train x B1": 3 } });

export interface ShownResults {
  readonly shown: number;
  readonly refused: number;
  readonly slowestMs: number;
}

/** Throws where the report fails of a result that the reader accepted, with the result. */
function showDamaged(inputs: number, seed: number): ShownResults {
  const random = new Random(seed, 0x72657073);
  let [shown, slowestMs] = [0, 0];
  for (let i = 0; i < inputs; i++) {
    const text = damagedJson(WHOLE as never, random);
    let results: NamedResult[];
    try {
      results = readResults([
        { name: "damaged.json", content: JSON.parse(text) as unknown },
        { name: "whole.json", content: WHOLE },
      ]);
    } catch {
      continue; // judged in Node
    }
    const startMs = performance.now();
    try {
      const root = document.createElement("main");
      showReport(root, results);
      const beside = root.querySelector<HTMLSelectElement>("#beside")!;
      beside.value = "1";
      beside.dispatchEvent(new Event("change"));
      if (root.querySelector("section") === null) throw new Error("nothing was drawn");
    } catch (error) {
      throw new Error(`report: expected a page of an accepted result, got ${String(error)} for ${text.slice(0, 3000)}`, { cause: error });
    }
    slowestMs = Math.max(slowestMs, performance.now() - startMs);
    shown++;
  }
  return { shown, refused: inputs - shown, slowestMs };
}

Object.assign(globalThis, { showDamaged });
