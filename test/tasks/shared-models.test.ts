import { expect, test } from "vitest";
import type { Common, Progress, VisionModel } from "../../tasks/api.ts";
import { SharedModels } from "../../tasks/shared-models.ts";

/** A model whose loading the test ends, and what was done with it. */
function loading() {
  const seen = { loads: 0, disposed: 0, options: {} as Common };
  const model = { dispose: () => void seen.disposed++ } as VisionModel;
  let settle!: { resolve(): void; reject(error: Error): void };
  const load = (options: Common): Promise<VisionModel> => {
    seen.loads++;
    seen.options = options;
    return new Promise((resolve, reject) => (settle = { resolve: () => resolve(model), reject }));
  };
  return { seen, model, load, done: () => settle.resolve(), fail: (error: Error) => settle.reject(error) };
}

test("two tabs load one model; the last that releases it disposes it", async () => {
  const { seen, model, load, done } = loading();
  const models = new SharedModels();
  const tabs = [models.use("a", {}, load), models.use("a", {}, load)];
  done();
  const [first, second] = await Promise.all(tabs);
  expect([first!.model, second!.model]).toEqual([model, model]);
  expect(seen.loads).toBe(1);
  first!.release();
  await Promise.resolve();
  expect(seen.disposed).toBe(0);
  second!.release();
  await Promise.resolve();
  expect(seen.disposed).toBe(1);
  void models.use("a", {}, load);
  expect(seen.loads).toBe(2);
});

test("a tab's signal ends its own waiting; the loading only where nobody else waits", async () => {
  const { seen, model, load, done } = loading();
  const models = new SharedModels();
  const stop = new AbortController();
  const stopped = models.use("a", { signal: stop.signal }, load);
  const other = models.use("a", {}, load);
  stop.abort(new Error("enough"));
  await expect(stopped).rejects.toThrow("enough");
  expect(seen.options.signal!.aborted).toBe(false);
  done();
  expect((await other).model).toBe(model);

  const alone = new AbortController();
  const last = models.use("b", { signal: alone.signal }, load);
  alone.abort(new Error("enough"));
  await expect(last).rejects.toThrow("enough");
  expect(seen.options.signal!.aborted).toBe(true);
});

test("every tab that waits hears of progress, and one that comes after a failure loads anew", async () => {
  const { seen, load, fail } = loading();
  const models = new SharedModels();
  const heard: [string, Progress][] = [];
  const tabs = ["x", "y"].map((tab) => models.use("a", { onProgress: (p) => heard.push([tab, p]) }, load));
  const progress: Progress = { phase: "download", done: 1, total: 2 };
  seen.options.onProgress!(progress);
  expect(heard).toEqual([
    ["x", progress],
    ["y", progress],
  ]);
  tabs.push(models.use("a", { onProgress: (p) => heard.push(["late", p]) }, load));
  expect(heard.at(-1)).toEqual(["late", progress]);
  fail(new Error("404"));
  for (const tab of tabs) await expect(tab).rejects.toThrow("404");
  void models.use("a", {}, load);
  expect(seen.loads).toBe(2);
});
