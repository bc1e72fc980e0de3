/** Shows the results that stand in the page, as `tessera report` put them there. */
import { showReport, type NamedResult } from "./report.ts";

showReport(document.getElementById("report")!, JSON.parse(document.getElementById("data")!.textContent!) as NamedResult[]);
