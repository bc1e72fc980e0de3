/** A real headless Chromium page that runs the engine, driven from Node. */
import { tmpdir } from "node:os";
import puppeteer, { type Browser, type LaunchOptions, type Page } from "puppeteer-core";
import type { Hooks, Outcome } from "../../app/headless.ts";
import type { AdapterDescription } from "../../engine/device.ts";
import { toError } from "../../jobs/errors.ts";
import { knownSetup, RUN_SETUP, type Setup } from "./find.ts";
import { nodeHost } from "./host.ts";
import type { Host } from "../../jobs/host.ts";
import { servePage } from "./page-server.ts";
import { watchGpu } from "./watchdog.ts";
import { note } from "../output.ts";

export type ChromiumAdapter = "swiftshader" | "gpu" | "lavapipe";

export interface ChromiumOptions {
  /** Default: the GPU where set-up found one, else SwiftShader. */
  readonly adapter?: ChromiumAdapter | undefined;
  /** Refuses an adapter whose name does not contain this text. */
  readonly named?: string | undefined;
  /** The host that the page's jobs read and write files through. */
  readonly host?: Host;
  /** Seconds without an answer from the page's GPU after which the job fails; 0: no limit. */
  readonly gpuTimeout?: number | undefined;
}

export interface Chromium {
  readonly page: Page;
  readonly browser: Browser;
  /** The adapter of the page's device. */
  readonly adapter: AdapterDescription;
  /** Awaits `exportName(...args)` of a module of this repository, e.g. "/test/all-cases.ts", in the page. JSON in and out. */
  runModule(url: string, exportName: string, args?: readonly unknown[]): Promise<unknown>;
  /** Awaits the default export of a module in the page, with a host whose files are those of `options.host`. */
  runJob(url: string, args: unknown): Promise<unknown>;
  close(): Promise<void>;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const COMMON = [
  "--enable-unsafe-webgpu",
  "--ignore-gpu-blocklist",
  "--disable-gpu-watchdog", // it ends a kernel that runs for 10 s; `gpuTimeout` stands in for it
  "--no-first-run",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const FLAGS: Record<ChromiumAdapter, readonly string[]> = {
  swiftshader: ["--use-webgpu-adapter=swiftshader", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
  gpu: process.platform === "linux" ? ["--use-angle=vulkan", "--enable-features=Vulkan", "--disable-vulkan-surface"] : [],
  // Chromium blocks Vulkan on the CPU for WebGPU; through OpenGL ES, and in compatibility mode, it does not.
  lavapipe: ["--use-angle=vulkan", "--use-webgpu-adapter=opengles"],
};

/** Opens app/headless.html in a fresh browser, its device ready. Errors and warnings of the page go to stderr. */
export async function openChromium(options: ChromiumOptions = {}): Promise<Chromium> {
  const setup = await knownSetup();
  const kind = options.adapter ?? defaultAdapter(setup);
  const given = options.host ?? nodeHost();
  let stops = false;
  const host: Host = { ...given, stopAsked: () => ((stops = true), given.stopAsked()) };
  // A signal ends the process and the browser with it. Where a job handles the first signal, the second one does.
  const interrupted = (_signal: string, number: number): void => {
    if (!stops || given.stopAsked()) process.exit(128 + number);
  };
  const server = await servePage(host);
  for (const signal of SIGNALS) process.on(signal, interrupted);
  let watch: ReturnType<typeof watchGpu> | undefined;
  const close = async (): Promise<void> => {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    watch?.stop();
    // A browser whose GPU process hangs would neither close nor end that process.
    if (watch?.stalled()) killGroup(browser?.process()?.pid);
    else await browser?.close();
    await server.close();
  };
  let browser: Browser | undefined;
  try {
    browser = await launch(setup, kind, { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false });
    const page = await browser.newPage();
    const askPage = caller(page);
    const call: typeof askPage = (...args) => (watch ? watch.during(askPage(...args)) : askPage(...args));
    await page.goto(server.url, { timeout: 120_000 });
    const broken = new Promise<never>((_, reject) => page.once("pageerror", (error) => reject(error)));
    await Promise.race([page.waitForFunction(() => "tessera" in globalThis, { timeout: 120_000 }), broken]);
    broken.catch(() => undefined); // from here on, errors come from the code in the page
    const request = (
      kind === "lavapipe" ? { featureLevel: "compatibility" } : { powerPreference: "high-performance" }
    ) as GPURequestAdapterOptions;
    const opened = (await call("init", { request, ...(options.named ? { adapter: options.named } : {}) })) as AdapterDescription;
    // An OpenGL ES adapter reports no name; the flags say which one it is.
    const adapter = kind === "lavapipe" ? { ...opened, description: "lavapipe through OpenGL ES", software: true } : opened;
    if (kind === "gpu" && adapter.software)
      throw new Error(`openChromium: expected a GPU, got the software adapter "${adapter.vendor} ${adapter.architecture}"`);
    watch = watchGpu(() => askPage("answer"), options.gpuTimeout);
    return {
      page,
      browser,
      adapter,
      runModule: (url, exportName, args = []) => call("runModule", url, exportName, args),
      runJob: (url, args) => call("runJob", url, server.token, args),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A fresh browser with WebGPU on that adapter, by default the one that `openChromium` takes. */
export async function launchBrowser(adapter?: ChromiumAdapter, setup?: Setup): Promise<Browser> {
  const known = setup ?? (await knownSetup());
  return launch(known, adapter ?? defaultAdapter(known));
}

const defaultAdapter = (setup: Setup): ChromiumAdapter => (setup.node && !setup.node.software ? "gpu" : "swiftshader");

/** Driven through a pipe: a debugging port would let every local user read and write files as this one, and a browser whose pipe closes ends. */
async function launch(
  setup: Setup,
  kind: ChromiumAdapter,
  own: Pick<LaunchOptions, "handleSIGINT" | "handleSIGTERM" | "handleSIGHUP"> = {},
): Promise<Browser> {
  if (!setup.chromium) throw new Error(`openChromium: expected an installed Chrome or Chromium, got none; ${RUN_SETUP} --tests`);
  if (kind === "lavapipe" && !setup.lavapipeIcd) throw new Error(`openChromium: expected Mesa's lavapipe, got none; ${RUN_SETUP} --tests`);
  const env: Record<string, string | undefined> = { ...process.env, XDG_RUNTIME_DIR: process.env["XDG_RUNTIME_DIR"] ?? tmpdir() };
  // A driver that was forced for Node is not the browser's choice.
  delete env["VK_ICD_FILENAMES"];
  if (kind === "lavapipe") env["VK_ICD_FILENAMES"] = setup.lavapipeIcd!;
  const args = [...COMMON, ...FLAGS[kind]];
  const options: LaunchOptions = {
    ...own,
    executablePath: setup.chromium.path,
    headless: true,
    pipe: true,
    args,
    env,
    timeout: 120_000,
    protocolTimeout: 0, // a job may run for hours
  };
  const unboxed = { ...options, args: [...args, "--no-sandbox"] };
  // Chromium has no sandbox for root. Others may lack user namespaces, as in most containers: there it does not start with one.
  if (process.getuid?.() === 0) return puppeteer.launch(unboxed);
  return puppeteer.launch(options).catch(() => puppeteer.launch(unboxed));
}

/** Ends a browser with all of its processes: its process group, or on Windows the browser alone. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === "win32" ? pid : -pid, "SIGKILL");
  } catch {
    // it has ended already
  }
}

/** Calls a hook of the page. Rejects with what went wrong in there, or when the page is gone. */
function caller(page: Page): (hook: keyof Hooks, ...args: unknown[]) => Promise<unknown> {
  const gone = new Promise<never>((_, reject) => {
    page.on("error", (error) => reject(new Error(`the page crashed: ${error.message}`)));
    page.once("close", () => reject(new Error("the page was closed")));
  });
  gone.catch(() => undefined); // without a waiter a rejection would be unhandled
  page.on("console", (message) => {
    // The job reports a missing file itself.
    if (message.location().url?.includes("/__file/")) return;
    if (message.type() === "error" || message.type() === "warn") note(`[page] ${message.text()}`);
  });
  page.on("pageerror", (error) => note(`[page] ${error instanceof Error ? error.message : String(error)}`));
  return async (hook, ...args) => {
    const called = page.evaluate(
      (name, values) => {
        const { tessera } = globalThis as unknown as { tessera: Record<string, (...a: unknown[]) => Promise<Outcome>> };
        return tessera[name]!(...values);
      },
      hook,
      args,
    );
    const outcome = await Promise.race([called, gone]);
    if ("error" in outcome) throw toError(outcome.error);
    return outcome.value;
  };
}
