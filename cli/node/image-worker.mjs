/** A thread of the input pipeline, in the repository: registers the TypeScript loader, which threads do not inherit. */
import "../typescript.mjs";

await import("./image-worker.ts");
