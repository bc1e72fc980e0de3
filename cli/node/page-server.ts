/** The local server of a headless page: the modules under ROOT through Vite, and the bridge to a `Host` in Node. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer, searchForWorkspaceRoot, type Plugin } from "vite";
import { defaultCacheDir } from "../../bench/cache-dir.ts";
import { errorData, UsageError } from "../../jobs/errors.ts";
import type { Host, Progress } from "../../jobs/host.ts";
import { ROOT } from "../place.ts";
import { isolated, ownFilesOnly } from "./vite.ts";

const PAGE = "/app/headless.html";

export interface PageServer {
  /** The headless page; ROOT is at "/" of the same server. */
  readonly url: string;
  /** The page's key to the host's files. */
  readonly token: string;
  close(): Promise<void>;
}

export async function servePage(host: Host): Promise<PageServer> {
  if (/[#?]/.test(ROOT)) throw new Error(`expected a folder without # and ? in its path, which Vite cannot serve, got "${ROOT}"`);
  const token = randomBytes(16).toString("hex");
  const server = await createServer({
    ...ownFilesOnly,
    root: ROOT,
    logLevel: "warn",
    clearScreen: false,
    plugins: [bridge(host, token)],
    // A dependency discovered late would reload the page and end its job.
    optimizeDeps: { noDiscovery: true, include: [] },
    // Nothing reloads under a running job: no watching, no socket. Other origins get no answer that they can read.
    server: {
      host: "127.0.0.1",
      port: 0,
      cors: false,
      hmr: false,
      ws: false,
      watch: null,
      headers: isolated,
      fs: { allow: [searchForWorkspaceRoot(ROOT), join(defaultCacheDir(), "rivals")] },
    },
  });
  await server.listen();
  const { port } = server.httpServer!.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}${PAGE}`, token, close: () => server.close() };
}

/** Vite's own services (`/__open-in-editor`), and files and folders that begin with a dot. What is outside of ROOT, Vite allows as far as a module imports it, and the benchmark's rivals. */
const hidden = (path: string): boolean =>
  path.startsWith("/__") || (!path.startsWith("/@fs/") && /(^|\/)\./.test(decodeURIComponent(path)));

function send(response: ServerResponse, type: string, content: string | Buffer): void {
  response.writeHead(200, { ...isolated, "content-type": type }).end(content);
}

/** GET (whole, or with offset and length), HEAD, PUT (whole) and POST (append) /__file/TOKEN?path=…, POST /__event/TOKEN and GET /__stop/TOKEN. */
function bridge(host: Host, token: string): Plugin {
  return {
    name: "tessera-host",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const url = new URL(request.url ?? "/", "http://localhost");
        // Vite would add its client, which needs the web socket that is off here. So the page is served as it is, with only the
        // helper that Vite rewrites import(variable) to.
        if (url.pathname === PAGE) return send(response, "text/html", readFileSync(join(ROOT, PAGE)));
        if (url.pathname === "/@vite/client") return send(response, "text/javascript", "export const injectQuery = (url) => url;");
        const [, kind, given] = url.pathname.split("/");
        if (kind !== "__file" && kind !== "__event" && kind !== "__stop")
          return hidden(url.pathname) ? void response.writeHead(404).end() : next();
        if (given !== token) return void response.writeHead(403).end();
        if (kind === "__stop") return send(response, "application/json", JSON.stringify({ stop: host.stopAsked() }));
        const answer = kind === "__file" ? answerFile(host, url.searchParams, request, response) : answerEvent(host, request, response);
        answer.catch((error: unknown) => {
          response
            .writeHead(error instanceof UsageError ? 404 : 500, { "content-type": "application/json" })
            .end(JSON.stringify(errorData(error)));
        });
      });
    },
  };
}

async function answerFile(host: Host, query: URLSearchParams, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = query.get("path") ?? "";
  const [offset, length] = [query.get("offset"), query.get("length")];
  if (request.method === "PUT") {
    await host.writeFile(path, await body(request));
    response.writeHead(204).end();
  } else if (request.method === "POST") {
    await host.appendFile(path, await body(request));
    response.writeHead(204).end();
  } else if (request.method === "HEAD") {
    response.writeHead((await host.exists(path)) ? 200 : 404).end();
  } else {
    const bytes =
      offset === null
        ? await host.readFile(path)
        : await host.images.read({ path, offset: Number(offset), ...(length === null ? {} : { length: Number(length) }) });
    response
      .writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes.byteLength, "cache-control": "no-store" })
      .end(bytes);
  }
}

async function answerEvent(host: Host, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const event = JSON.parse((await body(request)).toString()) as { log?: Record<string, unknown>; progress?: Progress };
  if (event.log) host.log(event.log);
  if (event.progress) host.progress(event.progress);
  response.writeHead(204).end();
}

async function body(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
