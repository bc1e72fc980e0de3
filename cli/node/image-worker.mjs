/** A thread of the input pipeline, in the repository: it has to learn to run TypeScript by itself. */
import "../typescript.mjs";

await import("./image-worker.ts");
