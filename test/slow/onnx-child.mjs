/** Classifies pictures with transformers.js as its users do. Arguments: the folder it is installed in, the folder of the model, pictures. Prints JSON. */
import { createRequire } from "node:module";
import { basename, dirname } from "node:path";
import { pathToFileURL } from "node:url";

const [installed, model, ...pictures] = process.argv.slice(2);
const entry = createRequire(`${installed}/package.json`).resolve("@huggingface/transformers");
const { env, pipeline } = await import(pathToFileURL(entry).href.replace(/\.cjs$/, ".mjs"));
env.allowRemoteModels = false;
env.localModelPath = `${dirname(model)}/`;
const classify = await pipeline("image-classification", basename(model));
console.log(JSON.stringify({ version: env.version, answers: await classify(pictures) }));
