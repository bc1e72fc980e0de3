import resolve from "@rollup/plugin-node-resolve";

const input = { main: "main.js", "model-worker": "tessera-gpu/tasks/model-worker.js" };

export default { input, output: { dir: "dist", format: "es" }, plugins: [resolve({ browser: true })] };
