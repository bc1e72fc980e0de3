"use client";
import { useEffect, useState } from "react";
import { loadModel } from "tessera-gpu";
import { loadModelInWorker } from "tessera-gpu/worker";
import { answers, outcome } from "../answers.js";

export default function Page() {
  const [text, setText] = useState("…");
  useEffect(() => {
    // StrictMode runs this twice.
    const both = Promise.all([loadModel, loadModelInWorker].map((load) => answers(load, "/tiny.safetensors", "/photo.png")));
    const found = outcome(both.then(([page, worker]) => ({ ...page, worker })));
    globalThis.runs = [...(globalThis.runs ?? []), found];
    globalThis.found = Promise.all(globalThis.runs).then((runs) => ({ ...runs[0], runs: runs.length, last: runs.at(-1) }));
    found.then((value) => setText(JSON.stringify(value)));
  }, []);
  return <main>{text}</main>;
}
