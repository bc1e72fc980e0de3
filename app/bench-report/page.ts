/** Shows the results that stand in the page, as `tessera report` put them there. */
import type { NamedResult } from "../../bench/result-file.ts";
import { showReport } from "./report.ts";

showReport(document.getElementById("report")!, JSON.parse(document.getElementById("data")!.textContent!) as NamedResult[]);
