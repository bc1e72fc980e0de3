#!/usr/bin/env node
/** The package's bin. TypeScript runs as it is, through tsx. */
import { register } from "tsx/esm/api";

register();
const { main } = await import("./main.ts");
// Dawn keeps Node alive, and may crash it where it is taken down at leisure.
process.exit(await main(process.argv.slice(2)));
