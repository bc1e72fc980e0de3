/** A process that compiles the hot kernels one by one; Dawn writes what it makes of them to stdout. `node dump.ts NAMES.json` keeps whose is whose. */
import { writeFileSync } from "node:fs";
import { initNodeDevice } from "../../tasks/node.ts";
import { hotKernels } from "./hot-kernels.ts";

await initNodeDevice({ toggles: ["enable-dawn-features=dump_shaders,disable_symbol_renaming"] });
const kernels = hotKernels();
writeFileSync(process.argv[2]!, JSON.stringify(kernels.map(({ name, pipeline }) => [pipeline.code, name])));
for (const { pipeline } of kernels) await pipeline.compile();
process.exit(0);
