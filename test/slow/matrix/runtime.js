/** A runtime with WebGPU of its own, or without. */
import { readFileSync } from "node:fs";
import { loadModel } from "tessera-gpu";
import { answers, outcome } from "./answers.js";

console.log(JSON.stringify(await outcome(answers(loadModel, new Uint8Array(readFileSync("tiny.safetensors"))))));
process.exit(0);
