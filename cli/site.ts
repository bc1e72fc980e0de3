/** The site: several pages, built into a folder that any web server can host, under any path. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build, type Plugin } from "vite";
import { VitePWA } from "vite-plugin-pwa";
import type { ReportData } from "../jobs/report-data.ts";
import { docs } from "./docs/plugin.ts";
import { ownFilesOnly } from "./node/vite.ts";
import { shipped, VERSION } from "./place.ts";
import { reportPage } from "./report-file.ts";

const root = shipped("app/site");

const NAVIGATION = [
  ["classify.html", "Classify"],
  ["teach.html", "Teach"],
  ["distil.html", "Distil"],
  ["lab.html", "Lab"],
  ["bench.html", "Bench"],
  ["docs.html", "Docs"],
] as const;

// Nothing leaves the origin but downloads of models, which a person asks for; those may come from any https address.
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' blob: data:",
  "media-src 'self' blob:",
  "connect-src 'self' blob: https:",
  "worker-src 'self' blob:",
  "frame-src 'self'", // the page Bench measures in a frame
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** Puts the parts that all pages share into the HTML itself, so that nothing moves when a script arrives. */
function frame(): Plugin {
  return {
    name: "site-frame",
    // Read by the page Bench. The site includes no rival libraries.
    generateBundle() {
      this.emitFile({
        type: "asset",
        fileName: "about.json",
        source: JSON.stringify({ version: VERSION, commit: "", rivals: [], lab: "./lab.html" }),
      });
      // For browsers without WebGPU.
      const recorded = JSON.parse(readFileSync(shipped("app/site/recorded/demo.json"), "utf8")) as ReportData;
      this.emitFile({ type: "asset", fileName: "recorded.html", source: reportPage(recorded) });
    },
    transformIndexHtml: {
      order: "pre",
      handler(html, { path, server }) {
        const here = path.split("/").at(-1) || "index.html";
        const links = NAVIGATION.map(
          ([file, name]) => `<a href="./${file}"${file === here ? ' aria-current="page"' : ""}>${name}</a>`,
        ).join("");
        // Vite's own client speaks through a web socket while the pages are being worked on.
        const policy = server ? "" : `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
        return html
          .replace(
            "<!-- head -->",
            `<meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    ${policy}
    <link rel="icon" href="./icon.svg" type="image/svg+xml">
    <link rel="stylesheet" href="./style.css">`,
          )
          .replace(
            "<!-- header -->",
            `<a class="skip" href="#main">Skip to the page</a>
    <header class="bar"><a class="brand" href="./index.html"><img src="./icon.svg" alt="" width="22" height="22">Tessera</a><nav aria-label="Pages">${links}</nav></header>`,
          )
          .replace(
            "<!-- footer -->",
            `<footer class="foot"><p>Everything here runs on this device. No picture, no figure and no model leaves it unless you save it. <a href="./docs.html">How it works</a></p></footer>`,
          );
      },
    },
  };
}

/** Fills `folder` anew with the pages. */
export async function buildSite(folder: string): Promise<void> {
  const pages = readdirSync(root).filter((file) => file.endsWith(".html"));
  await build({
    ...ownFilesOnly,
    mode: "production",
    logLevel: "error",
    root,
    base: "./",
    publicDir: join(root, "public"),
    plugins: [
      await docs(),
      frame(),
      VitePWA({
        registerType: "autoUpdate",
        injectRegister: null,
        mode: "production",
        manifest: {
          name: "Tessera",
          short_name: "Tessera",
          description: "Vision transformers that learn in this browser tab.",
          start_url: "./index.html",
          scope: "./",
          display: "standalone",
          background_color: "#101418",
          theme_color: "#101418",
          icons: [{ src: "./icon.svg", sizes: "any", type: "image/svg+xml", purpose: "any" }],
        },
        workbox: { globPatterns: ["**/*.{html,js,css,svg,json,safetensors,bin,txt,webmanifest}"], maximumFileSizeToCacheInBytes: 32 << 20 },
      }),
    ],
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    worker: { format: "es" },
    build: {
      target: "esnext",
      outDir: resolve(folder),
      emptyOutDir: true,
      modulePreload: { polyfill: false },
      rolldownOptions: { input: Object.fromEntries(pages.map((file) => [file.slice(0, -5), join(root, file)])) },
    },
  });
}
