/** A real headless Chromium page that runs the engine, driven from Node. */
import { tmpdir } from "node:os";
import puppeteer, { type Browser, type LaunchOptions, type Page } from "puppeteer";
import type { Hooks, Outcome } from "../../app/headless.ts";
import type { AdapterDescription } from "../../engine/device.ts";
import { toError } from "../../jobs/errors.ts";
import { knownSetup, type Setup } from "../find.mjs";
import { nodeHost } from "./host.ts";
import type { Host } from "../../jobs/host.ts";
import { servePage } from "./page-server.ts";

export type ChromiumAdapter = "swiftshader" | "gpu" | "lavapipe";

export interface ChromiumOptions {
  /** Default: the GPU where set-up found one, else SwiftShader. */
  readonly adapter?: ChromiumAdapter | undefined;
  /** Refuse any adapter whose name does not contain this. */
  readonly named?: string | undefined;
  /** What the page's jobs read and write through. */
  readonly host?: Host;
}

export interface Chromium {
  readonly page: Page;
  readonly browser: Browser;
  /** The adapter of the page's device, which is ready. */
  readonly adapter: AdapterDescription;
  /** Awaits `exportName(...args)` of a module of this repository, e.g. "/test/all-cases.ts", in the page. JSON in and out. */
  runModule(url: string, exportName: string, args?: readonly unknown[]): Promise<unknown>;
  /** Awaits the default export of a module in the page, with a host whose files are those of `options.host`. */
  runJob(url: string, args: unknown): Promise<unknown>;
  close(): Promise<void>;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const COMMON = [
  "--no-sandbox", // containers have no user namespaces, and the page is our own
  "--enable-unsafe-webgpu",
  "--ignore-gpu-blocklist",
  "--disable-gpu-watchdog", // a kernel on a software adapter may well take longer than it allows
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
  // A signal ends the process, and the browser with it, unless a job looks out for it: then the second one does.
  const interrupted = (_signal: string, number: number): void => {
    if (!stops || given.stopAsked()) process.exit(128 + number);
  };
  const server = await servePage(host);
  for (const signal of SIGNALS) process.on(signal, interrupted);
  const close = async (): Promise<void> => {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    await browser?.close();
    await server.close();
  };
  let browser: Browser | undefined;
  try {
    browser = await launch(setup, kind, { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false });
    const page = await browser.newPage();
    const call = caller(page);
    await page.goto(server.url, { timeout: 120_000 });
    await page.waitForFunction(() => "tessera" in globalThis, { timeout: 120_000 });
    const request = (
      kind === "lavapipe" ? { featureLevel: "compatibility" } : { powerPreference: "high-performance" }
    ) as GPURequestAdapterOptions;
    const opened = (await call("init", { request, ...(options.named ? { adapter: options.named } : {}) })) as AdapterDescription;
    // An OpenGL ES adapter says nothing of itself; its flags tell what it is.
    const adapter = kind === "lavapipe" ? { ...opened, description: "lavapipe through OpenGL ES", software: true } : opened;
    if (kind === "gpu" && adapter.software)
      throw new Error(`openChromium: expected a GPU, got the software adapter "${adapter.vendor} ${adapter.architecture}"`);
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

/** A fresh browser with WebGPU on the adapter that `openChromium` takes by default. */
export async function launchChromium(): Promise<Browser> {
  const setup = await knownSetup();
  return launch(setup, defaultAdapter(setup));
}

const defaultAdapter = (setup: Setup): ChromiumAdapter => (setup.node && !setup.node.software ? "gpu" : "swiftshader");

function launch(
  setup: Setup,
  kind: ChromiumAdapter,
  options: Pick<LaunchOptions, "handleSIGINT" | "handleSIGTERM" | "handleSIGHUP"> = {},
): Promise<Browser> {
  if (!setup.chromium) throw new Error("openChromium: expected an installed Chrome or Chromium, got none; run: node cli/setup.mjs --tests");
  if (kind === "lavapipe" && !setup.lavapipeIcd)
    throw new Error("openChromium: expected Mesa's lavapipe, got none; run: node cli/setup.mjs --tests");
  const env: Record<string, string | undefined> = { ...process.env, XDG_RUNTIME_DIR: process.env["XDG_RUNTIME_DIR"] ?? tmpdir() };
  // A driver that was forced for Node is not the browser's choice.
  delete env["VK_ICD_FILENAMES"];
  if (kind === "lavapipe") env["VK_ICD_FILENAMES"] = setup.lavapipeIcd!;
  return puppeteer.launch({
    ...options,
    executablePath: setup.chromium.path,
    headless: true,
    args: [...COMMON, ...FLAGS[kind]],
    env,
    timeout: 120_000,
    protocolTimeout: 0, // a job may run for hours
  });
}

/** Calls a hook of the page. Rejects with what went wrong in there, or when the page is gone. */
function caller(page: Page): (hook: keyof Hooks, ...args: unknown[]) => Promise<unknown> {
  const gone = new Promise<never>((_, reject) => {
    page.on("error", (error) => reject(new Error(`the page crashed: ${error.message}`)));
    page.once("close", () => reject(new Error("the page was closed")));
  });
  gone.catch(() => undefined); // nobody may be waiting
  page.on("console", (message) => {
    // A file that is not there is the job's to report.
    if (message.location().url?.includes("/__file/")) return;
    if (message.type() === "error" || message.type() === "warn") process.stderr.write(`[page] ${message.text()}\n`);
  });
  page.on("pageerror", (error) => process.stderr.write(`[page] ${error instanceof Error ? error.message : String(error)}\n`));
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
