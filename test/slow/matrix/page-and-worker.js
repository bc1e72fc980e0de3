/** In a page: the answers of this thread and of the package's worker. */
import { loadModel } from "tessera-gpu";
import { loadModelInWorker } from "tessera-gpu/worker";
import { answers, outcome } from "./answers.js";

globalThis.found = outcome(
  Promise.all([loadModel, loadModelInWorker].map((load) => answers(load, "/tiny.safetensors", "/photo.png"))).then(([page, worker]) => ({
    ...page,
    worker,
  })),
);
