/** Parts of the library for Node only: WebGPU by Dawn, through the npm package `webgpu`, and files as stores. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { create, globals } from "webgpu";
import { initDevice, type Device, type DeviceOptions } from "../engine/device.ts";
import type { Store } from "./api.ts";
import { reasonOf, StoreError } from "./errors.ts";

let gpu: GPU | undefined; // kept: Dawn dies with its instance

/** Dawn's `GPU`. `toggles` are Dawn's own switches, e.g. `enable-dawn-features=allow_unsafe_apis`. */
export function nodeGPU(toggles: readonly string[] = []): GPU {
  Object.assign(globalThis, globals);
  // Mesa's drivers want a runtime folder and print a warning where there is none.
  if (!process.env["XDG_RUNTIME_DIR"] && existsSync("/tmp")) process.env["XDG_RUNTIME_DIR"] = "/tmp";
  gpu ??= create([...toggles]);
  return gpu;
}

/** `initDevice` for Node. On a software adapter, waiting gives the processor to the adapter's own threads. */
export async function initNodeDevice(options: DeviceOptions & { readonly toggles?: readonly string[] } = {}): Promise<Device> {
  const idle: { patient: boolean } = { patient: true };
  const device = await initDevice({
    gpu: nodeGPU(options.toggles),
    ...options,
    wait: (promise) => (idle.patient ? waitQuietly(promise) : promise),
  });
  idle.patient = device.adapter.software;
  return device;
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Awaits without the busy loop that Dawn's Node binding runs while a promise is pending (a core at 100 %). */
async function waitQuietly<T>(promise: Promise<T>): Promise<T> {
  let settled = false;
  const done = () => {
    settled = true;
  };
  promise.then(done, done);
  while (!settled) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!settled) Atomics.wait(sleeper, 0, 0, 1);
  }
  return promise;
}

/** The file at this path. It is replaced whole or not at all. */
export function folder(path: string): Store {
  return {
    get: () => readFile(path).then((file) => new Uint8Array(file), missing),
    async set(bytes) {
      const beside = join(dirname(path), `.${basename(path)}.${process.pid}`);
      try {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(beside, bytes);
        await rename(beside, path);
      } catch (error) {
        await rm(beside, { force: true }).catch(() => undefined);
        throw new StoreError(`folder: expected room for ${bytes.length} bytes in ${path}, got ${reasonOf(error)}`, bytes);
      }
    },
    delete: () => rm(path, { force: true }),
  };
}

function missing(error: unknown): null {
  if ((error as { code?: string }).code === "ENOENT") return null;
  throw new StoreError(`folder: ${reasonOf(error)}`);
}
