import { readFileSync } from "node:fs";
import { loadModel } from "tessera-gpu";
import { initNodeDevice } from "tessera-gpu/node";
import { answers, outcome } from "./answers.js";

await initNodeDevice();
console.log(JSON.stringify(await outcome(answers(loadModel, new Uint8Array(readFileSync("tiny.safetensors"))))));
process.exit(0); // Dawn keeps Node alive
