/** Downloads, from a local server that answers well, badly, and not to the end. */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeEach, expect, test } from "vitest";
import { downloadFolder } from "../../cli/node/download-folder.ts";
import { nodeHost } from "../../cli/node/host.ts";
import { readWeightsFile } from "../../jobs/files/weights-file.ts";
import { loadUrl } from "../../models/checkpoints/url.ts";
import { writeSharded } from "../../models/checkpoints/sharded.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
let answers: Record<string, Answer> = {};
let asked: string[] = [];
const server = createServer((request, response) => {
  const path = request.url!.split("?")[0]!;
  asked.push(`${path}${request.headers.range ? ` ${request.headers.range}` : ""}`);
  const answer = answers[path];
  if (answer) answer(request, response);
  else response.writeHead(404).end("<html>no such file</html>");
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const folder = await mkdtemp(join(tmpdir(), "tessera-download-"));
process.env["TESSERA_CACHE"] = folder;
afterAll(async () => {
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  asked = [];
  answers = {};
  await rm(join(folder, "weights"), { recursive: true, force: true });
});

/** A weights file of 300,000 bytes. */
const content = ofSize(300_000);
function ofSize(bytes: number, first = 0): Uint8Array<ArrayBuffer> {
  const fill = (n: number) =>
    writeSafetensors([["a", { dtype: "U8", shape: [n], data: Uint8Array.from({ length: n }, (_, i) => first + ((i * 7919) >> 3)) }]]);
  const file = fill(bytes - (fill(100_000).length - 100_000));
  return new Uint8Array(file);
}
const sum = createHash("sha256").update(content).digest("hex");
const whole =
  (bytes: Uint8Array, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(200, { "content-length": bytes.length, ...headers }).end(bytes);
/** Sends so many bytes of the whole, then breaks the connection; goes on where it is asked to. */
const broken =
  (at: number, etag?: string): Answer =>
  (request, response) => {
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (from > 0 && request.headers["if-range"] === etag) {
      response
        .writeHead(206, {
          "content-range": `bytes ${from}-${content.length - 1}/${content.length}`,
          "content-length": content.length - from,
        })
        .end(content.subarray(from));
      return;
    }
    response.writeHead(200, { "content-length": content.length, ...(etag ? { etag } : {}) });
    response.write(content.subarray(0, at), () => setTimeout(() => response.destroy(), 20));
  };
/** Says what tag it likes, and would go on for whoever asks. */
const weak =
  (at: number): Answer =>
  (request, response) => {
    if (request.headers.range)
      return void response
        .writeHead(206, { "content-range": `bytes ${at}-${content.length - 1}/${content.length}` })
        .end(new Uint8Array(content.length - at));
    if (asked.length > 1) return whole(content, { etag: 'W/"1"' })(request, response);
    response.writeHead(200, { "content-length": content.length, etag: 'W/"1"' });
    response.write(content.subarray(0, at), () => setTimeout(() => response.destroy(), 20));
  };
const kept = async () => (await readdir(join(folder, "weights")).catch(() => [])).sort();

test("a whole file, with progress, kept and checked", async () => {
  answers = { "/w.safetensors": whole(content) };
  const seen: number[] = [];
  const cache = downloadFolder();
  const first = await loadUrl(`${base}/w.safetensors`, {
    cache,
    onProgress: (done, total) => {
      seen.push(done);
      expect(total).toBe(content.length);
    },
  });
  expect({ ...first, bytes: Buffer.compare(first.bytes, content) }).toEqual({ bytes: 0, sha256: sum, cached: false });
  expect(seen.at(-1)).toBe(content.length);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect((await loadUrl(`${base}/w.safetensors#sha256=${sum}`, { cache })).cached).toBe("checked");
  expect(asked).toEqual(["/w.safetensors"]);
  // What is kept but no longer whole, or not what it was, is fetched again.
  const file = (await kept()).find((n) => n.endsWith(".safetensors"))!;
  await truncate(join(folder, "weights", file), 1000);
  expect((await loadUrl(`${base}/w.safetensors`, { cache })).cached).toBe(false);
  await writeFile(
    join(folder, "weights", file),
    content.map((b, i) => (i === 7 ? b ^ 1 : b)),
  );
  expect((await loadUrl(`${base}/w.safetensors`, { cache })).sha256).toBe(sum);
  expect((await readFile(join(folder, "weights", file))).equals(content)).toBe(true);
  await rm(join(folder, "weights", `${file}.json`));
  expect((await loadUrl(`${base}/w.safetensors`, { cache })).cached).toBe(false);
});

test("without a length, the end of the stream is the file's", async () => {
  answers = { "/w": (_, response) => void response.writeHead(200).end(content) };
  expect((await loadUrl(`${base}/w`)).sha256).toBe(sum);
});

test("a broken connection: goes on where it broke if it is the same file, else from the start", async () => {
  answers = { "/w": broken(100_000, '"v1"') };
  expect((await loadUrl(`${base}/w`)).sha256).toBe(sum);
  expect(asked).toEqual(["/w", expect.stringMatching(/^\/w bytes=[1-9]\d*-$/)]);
  asked = [];
  let times = 0;
  const changes: Answer = (request, response) => (times++ === 0 ? broken(100_000, '"v1"') : whole(content.toReversed()))(request, response);
  answers = { "/w": changes };
  expect(Buffer.compare((await loadUrl(`${base}/w`)).bytes, content.toReversed())).toBe(0);
  asked = [];
  times = 0;
  answers = { "/w": (request, response) => (times++ === 0 ? broken(100_000) : whole(content))(request, response) };
  expect((await loadUrl(`${base}/w`)).sha256).toBe(sum);
  expect(asked).toEqual(["/w", "/w"]);
});

test("a file that never arrives whole is an error, and nothing is kept", async () => {
  answers = { "/w": broken(50_000), "/busy": (_, response) => void response.writeHead(503).end() };
  await expect(loadUrl(`${base}/w`, { cache: downloadFolder() })).rejects.toThrow(
    /^download: expected 300000 bytes of .*\/w, got .* after 4 tries$/,
  );
  await expect(loadUrl(`${base}/busy`, { cache: downloadFolder() })).rejects.toThrow("got status 503 after 4 tries");
  expect(asked.length).toBe(8);
  expect(await kept()).toEqual([]);
});

test("a wrong range, status or checksum", async () => {
  const cache = downloadFolder();
  await expect(loadUrl(`${base}/none`, { cache })).rejects.toThrow(`download: expected a file at ${base}/none, got status 404`);
  answers = { "/w": whole(content) };
  const other = "0".repeat(64);
  await expect(loadUrl(`${base}/w#sha256=${other}`, { cache })).rejects.toThrow(
    `download: expected sha256 ${other} of ${base}/w, got ${sum}`,
  );
  expect(await kept()).toEqual([]);
  await expect(loadUrl(`${base}/w#sha256=12`, { cache })).rejects.toThrow("64 hexadecimal digits");
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  await expect(loadUrl(`http://127.0.0.1:${port}/w`, { cache })).rejects.toThrow("got ECONNREFUSED after 4 tries");
  let times = 0;
  answers = {
    "/w": (request, response) => {
      if (times++ === 0) broken(1000, '"v1"')(request, response);
      else response.writeHead(206, { "content-range": "bytes 5-9/10" }).end(content.subarray(0, 5));
    },
  };
  await expect(loadUrl(`${base}/w`, { cache })).rejects.toThrow("got bytes 5-9/10");
});

test("weights by URL: one file, and several through their index", async () => {
  const tensor = (n: number) => ({ dtype: "F32" as const, shape: [n], data: Float32Array.from({ length: n }, (_, i) => i - 0.5) });
  const entries = [
    ["a", tensor(4)],
    ["b", tensor(3)],
    ["c", tensor(5)],
  ] as const;
  const { shards, index } = writeSharded("model", entries, 20, {});
  expect([...shards.keys()]).toEqual([
    "model-00001-of-00003.safetensors",
    "model-00002-of-00003.safetensors",
    "model-00003-of-00003.safetensors",
  ]);
  answers = Object.fromEntries([...shards].map(([name, bytes]) => [`/m/${name}`, whole(bytes)]));
  answers["/m/model.safetensors.index.json"] = whole(index);
  answers["/one"] = whole(writeSafetensors(entries));
  const lines: string[] = [];
  const host = nodeHost((event) => lines.push(String(event["message"])));
  for (const path of ["/m/model.safetensors.index.json?key=1", "/one"]) {
    const { state } = await readWeightsFile(host, base + path);
    expect([...state].map(([name, { shape, data }]) => [name, shape, [...data]])).toEqual(
      entries.map(([name, t]) => [name, t.shape, [...t.data]]),
    );
  }
  expect(lines.length).toBe(5);
  expect(lines[0]).toMatch(/^http:.*index\.json: \d+ bytes, sha256 [0-9a-f]{64}$/);
  await expect(readWeightsFile(host, `${base}/gone`)).rejects.toMatchObject({
    name: "UsageError",
    message: `expected a file at ${base}/gone, got status 404`,
  });
  answers["/html"] = whole(new TextEncoder().encode("<html>sign in</html>"));
  await expect(readWeightsFile(host, `${base}/html`)).rejects.toMatchObject({
    name: "UsageError",
    message: expect.stringMatching(/^expected safetensors or a PyTorch checkpoint, got an HTML or XML page .*html\)$/),
  });
});

test("a broken download is begun anew where the server's tag does not say that the bytes are the same", async () => {
  answers = { "/w.safetensors": weak(100_000) };
  expect((await loadUrl(`${base}/w.safetensors`)).sha256).toBe(sum);
  expect(asked).toEqual(["/w.safetensors", "/w.safetensors"]);
});

test("an answer that holds no weights is given, but never kept: the mended server is asked again", async () => {
  const cache = downloadFolder();
  const html = new TextEncoder().encode("<!DOCTYPE html><html>index.html</html>");
  const neither: [string, Answer][] = [
    ["a page with status 200", whole(html)],
    ["an empty body", whole(new Uint8Array(0))],
    ["a body cut short, without a length", (_, response) => void response.writeHead(200).end(content.subarray(0, 1000))],
    ["JSON", whole(new TextEncoder().encode('{"error":"sign in"}'))],
    ["one byte too few", whole(content.subarray(0, content.length - 1))],
    ["a Git LFS pointer", whole(new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"))],
  ];
  for (const [why, answer] of neither) {
    answers = { "/w": answer };
    expect((await loadUrl(`${base}/w`, { cache })).cached, why).toBe(false);
    expect(await kept(), why).toEqual([]);
    answers = { "/w": whole(content) };
    expect((await loadUrl(`${base}/w`, { cache })).sha256, why).toBe(sum);
    await rm(join(folder, "weights"), { recursive: true });
  }
  // An index is kept where it is one.
  answers = { "/i.json": whole(html), "/j.json": whole(new TextEncoder().encode('{"weight_map":{"a":"b.safetensors"}}')) };
  for (const name of ["i", "j"]) await loadUrl(`${base}/${name}.json`, { cache });
  expect((await kept()).map((n) => n.slice(17))).toEqual(["j.json", "j.json.json"]);
});

test("what is kept is compared with the server: by tag, by date, or not at all", async () => {
  const cache = downloadFolder();
  const newer = ofSize(300_000, 1);
  const newerSum = createHash("sha256").update(newer).digest("hex");
  const conditional =
    (tag: string, bytes: Uint8Array): Answer =>
    (request, response) =>
      request.headers["if-none-match"] === tag
        ? void response.writeHead(304).end()
        : void response.writeHead(200, { "content-length": bytes.length, etag: tag }).end(bytes);
  for (const [why, old, now] of [
    ["tag, with 304", conditional('"1"', content), conditional('"2"', newer)],
    ["tag, the server sends it all again", whole(content, { etag: '"1"' }), whole(newer, { etag: '"2"' })],
    ["a weak tag", conditional('W/"1"', content), conditional('W/"2"', newer)],
    [
      "date",
      whole(content, { "last-modified": "Mon, 01 Jan 2024 00:00:00 GMT" }),
      whole(newer, { "last-modified": "Tue, 02 Jan 2024 00:00:00 GMT" }),
    ],
  ] as const) {
    answers = { "/w": old };
    await loadUrl(`${base}/w`, { cache });
    const again = await loadUrl(`${base}/w`, { cache });
    expect([again.cached, again.sha256], why).toEqual(["checked", sum]);
    answers = { "/w": now };
    expect(await loadUrl(`${base}/w`, { cache }), why).toMatchObject({ cached: false, sha256: newerSum });
    // A server that fails, or is gone, leaves what is kept; one that says it has no such file does not.
    answers = { "/w": (_, response) => void response.writeHead(503).end() };
    expect(await loadUrl(`${base}/w`, { cache }), why).toMatchObject({ cached: "unchecked", sha256: newerSum });
    answers = {};
    await expect(loadUrl(`${base}/w`, { cache }), why).rejects.toThrow("got status 404");
    await rm(join(folder, "weights"), { recursive: true });
  }
  answers = { "/w": whole(content) };
  await loadUrl(`${base}/w`, { cache });
  answers = { "/w": whole(newer) };
  expect((await loadUrl(`${base}/w`, { cache })).cached).toBe("unchecked");
  expect(await loadUrl(`${base}/w`, { cache, refresh: true })).toMatchObject({ cached: false, sha256: newerSum });
});

test("a server that stalls, before its answer or in it, is given up after the time that is asked for, and tried again", async () => {
  let times = 0;
  const stalls =
    (at: number): Answer =>
    (request, response) => {
      if (times++ > 0) return whole(content)(request, response);
      if (at < 0) return;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, at));
    };
  for (const at of [-1, 0, 1000]) {
    times = 0;
    answers = { "/w": stalls(at) };
    expect((await loadUrl(`${base}/w`, { timeoutMs: 1000 })).sha256).toBe(sum);
    expect(times).toBeGreaterThanOrEqual(2); // a busy machine may take its time over the second try too
  }
  answers = { "/w": () => undefined };
  await expect(loadUrl(`${base}/w`, { timeoutMs: 50 })).rejects.toThrow("got no byte for 0.05 s after 4 tries");
});

test("two downloads of one file at once are one", async () => {
  answers = { "/w": (request, response) => void setTimeout(() => whole(content)(request, response), 50), "/v": whole(content) };
  const cache = downloadFolder();
  const seen = [0, 0];
  const all = await Promise.all([
    ...[0, 1].map((i) => loadUrl(`${base}/w`, { cache, onProgress: (done) => void (seen[i] = done) })),
    loadUrl(`${base}/v`, { cache }),
  ]);
  expect(all.map((d) => d.sha256)).toEqual([sum, sum, sum]);
  expect(seen).toEqual([content.length, content.length]);
  expect(asked.toSorted()).toEqual(["/v", "/w"]);
  await loadUrl(`${base}/w`);
  expect(asked.length).toBe(3);
});

test("a compressed body may unfold to weights, not to a bomb", async () => {
  const gzipped =
    (bytes: Uint8Array, length: boolean): Answer =>
    (_, response) => {
      const body = gzipSync(bytes);
      response.writeHead(200, { "content-encoding": "gzip", ...(length ? { "content-length": body.length } : {}) }).end(body);
    };
  for (const length of [true, false]) {
    answers = { "/w": gzipped(content, length), "/bomb": gzipped(new Uint8Array(2 ** 26 + 1), length) };
    expect((await loadUrl(`${base}/w`)).sha256).toBe(sum);
    await expect(loadUrl(`${base}/bomb`)).rejects.toThrow("download: expected at most 67108864 bytes of");
  }
});

test("a key in a URL's query is neither kept nor said, and nobody else reads what is kept", async () => {
  answers = { "/w": whole(content) };
  const cache = downloadFolder();
  await loadUrl(`${base}/w?token=secret`, { cache });
  expect((await loadUrl(`${base}/w?token=secret`, { cache })).cached).toBe("unchecked");
  expect((await loadUrl(`${base}/w?token=other`, { cache })).cached).toBe(false);
  for (const name of await kept()) {
    expect(name).not.toContain("secret");
    if (name.endsWith(".json")) expect(await readFile(join(folder, "weights", name), "utf8")).not.toContain("secret");
    expect((await stat(join(folder, "weights", name))).mode & 0o077).toBe(0);
  }
  answers = {};
  for (const url of [`${base}/gone?token=secret`, `http://me:secret@127.0.0.1/w`, `ftp//x?token=secret`])
    await expect(loadUrl(url)).rejects.toThrow(/^download: expected (?!.*secret)/);
});
