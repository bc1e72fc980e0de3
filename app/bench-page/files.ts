/** Results as files of the visitor's. */
import { readResults, type NamedResult, type ResultFile } from "../../bench/result-file.ts";
import { download } from "../site/shell/save.ts";

export function saveResult(result: ResultFile): void {
  const { vendor, architecture } = result.adapter;
  const name = [vendor || "unnamed", architecture || "adapter", result.where].join("-").replace(/[^\w.-]+/g, "_");
  download(new Blob([`${JSON.stringify(result, null, 2)}\n`], { type: "application/json" }), `${name}.json`);
}

/** Rejects where one of them is no result, and says which. */
export async function openResults(files: Iterable<File>): Promise<NamedResult[]> {
  return readResults(
    await Promise.all([...files].map(async (file) => ({ name: file.name, content: parsed(await file.text(), file.name) }))),
  );
}

function parsed(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${name}: expected JSON, got something else`);
  }
}
