/** A thread of the input pipeline. TypeScript runs as it is, through tsx, whoever started the process. */
import { register } from "tsx/esm/api";

register();
await import("./image-worker.ts");
