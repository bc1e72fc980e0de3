/** A result as a link. */
import { resultFile, type NamedResult, type ResultFile } from "../../bench/result-file.ts";
import { fromHash, toHash } from "../site/shell/link.ts";

/** Of the result file's form. */
const VERSION = "r1";

/** Throws where a result is too long for a link. */
export const linkOf = (result: ResultFile): string => toHash("bench", VERSION, result);

/** Throws, saying why, where the link was cut or changed, is another version's, or holds no result. */
export const linked = (hash: string): NamedResult => ({
  name: "from a link",
  result: resultFile(fromHash("bench", VERSION, hash), "the link"),
});
