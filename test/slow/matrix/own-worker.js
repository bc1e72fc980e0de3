/** An app's own module worker, which has the library's one file by its address: import maps do not reach workers. */
import { loadModel } from "./tessera.js";
import { answers, outcome } from "./answers.js";

postMessage(await outcome(answers(loadModel, "/tiny.safetensors", "/photo.png")));
