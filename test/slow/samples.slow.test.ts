/** Every `@example` in the sources and every TypeScript sample of the guides type-checks against the package's entries. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What a sample of a function may take for granted. */
const GIVEN = `import { createModel, initialState, loadModel, loadParams, opfs, Tensor, type VisionModel } from "tessera-gpu";
import { loadModelInWorker } from "tessera-gpu/worker";
declare const model: VisionModel;
declare const canvas: HTMLCanvasElement;
export const given = [createModel, initialState, loadModel, loadModelInWorker, loadParams, opfs, Tensor, model, canvas];
`;

const sources = ["engine", "kernels", "models", "train", "tasks"].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(join(ROOT, folder, file), "utf8")),
);

test("samples type-check", async () => {
  const examples = sources.flatMap((text) =>
    [...text.matchAll(/@example\n *\* ```ts\n([^]*?) *\* ```/g)].map(([, code]) => GIVEN + code!.replace(/^ *\* ?/gm, "")),
  );
  const guides = readdirSync(join(ROOT, "app/site/guides")).flatMap((file) =>
    [...readFileSync(join(ROOT, "app/site/guides", file), "utf8").matchAll(/```ts\n([^]*?)```/g)].map(([, code]) => code!),
  );
  expect(examples.length).toBeGreaterThanOrEqual(9);
  expect(guides.length).toBe(3);
  const folder = mkdtempSync(join(ROOT, ".cache/samples-"));
  try {
    for (const [i, code] of [...examples, ...guides].entries()) writeFileSync(join(folder, `sample-${i}.ts`), `${code}\nexport {};\n`);
    const paths = {
      "tessera-gpu": ["../../index.ts"],
      "tessera-gpu/kernels/*": ["../../kernels/*.ts"],
      "tessera-gpu/*": ["../../tasks/*.ts"],
    };
    const compilerOptions = { noUnusedLocals: false, paths, types: ["@webgpu/types"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", compilerOptions, include: ["."] }));
    const { stdout } = await promisify(execFile)(join(ROOT, "node_modules/.bin/tsc"), ["--noEmit", "-p", folder]).catch(
      (error: { stdout: string; message: string }) => ({ stdout: error.stdout || error.message }),
    );
    expect(stdout).toBe("");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
