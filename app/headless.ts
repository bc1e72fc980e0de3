/** The page that `--where chromium` and the browser tests drive: modules and jobs run in here, on the page's WebGPU. */
import { errorData, type ErrorData } from "../jobs/errors.ts";
import type { Job } from "../jobs/host.ts";
import { getDevice, initDevice, type AdapterDescription, type DeviceOptions } from "../engine/device.ts";
import { pageHost } from "./page-host.ts";

/** Outcome of a call into the page, as plain data. */
export type Outcome = { readonly value: unknown } | { readonly error: ErrorData };

export interface Hooks {
  /** The page's device, described. */
  init(options: Pick<DeviceOptions, "adapter" | "request">): Promise<Outcome>;
  /** Resolves when the GPU has finished all work submitted so far. */
  answer(): Promise<Outcome>;
  /** Awaits `exportName(...args)` of a module that the server serves. */
  runModule(url: string, exportName: string, args: readonly unknown[]): Promise<Outcome>;
  /** Awaits the job that a module exports as its default. */
  runJob(url: string, token: string, args: unknown): Promise<Outcome>;
}

async function outcome(run: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { value: await run() };
  } catch (error) {
    return { error: errorData(error) };
  }
}

const hooks: Hooks = {
  init: (options) => outcome(async (): Promise<AdapterDescription> => (await initDevice(options)).adapter),

  answer: () => outcome(async () => void (await getDevice().gpu.queue.onSubmittedWorkDone())),

  runModule: (url, exportName, args) =>
    outcome(async () => {
      const module = (await import(/* @vite-ignore */ url)) as Record<string, unknown>;
      const run = module[exportName];
      if (typeof run !== "function") throw new Error(`runModule: expected a function "${exportName}" in ${url}, got ${typeof run}`);
      return run(...args);
    }),

  runJob: (url, token, args) =>
    outcome(async () => {
      const { default: job } = (await import(/* @vite-ignore */ url)) as { default: Job<unknown> };
      const host = pageHost(token);
      try {
        return await job(host, args);
      } finally {
        await host.flush();
      }
    }),
};

Object.assign(globalThis, { tessera: hooks });
