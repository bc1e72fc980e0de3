/** In a page: the answers of this thread, of a file decoded by the browser. */
import { loadModel } from "tessera-gpu";
import { answers, outcome } from "./answers.js";

globalThis.found = outcome(answers(loadModel, "/tiny.safetensors", "/photo.png"));
