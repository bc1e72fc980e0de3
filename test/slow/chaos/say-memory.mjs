/** Loaded into a process under test: at its end it writes the most memory that it held, in KiB, to descriptor 3. */
import { writeSync } from "node:fs";

process.on("exit", () => writeSync(3, String(process.resourceUsage().maxRSS)));
