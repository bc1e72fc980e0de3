/** Downloads that break in every way a server has, by the verb that reads them; and two of one file at once. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "vitest";
import type { Random } from "../../../kernels/shared/random.ts";
import { tessera } from "../../cli/small-deit.ts";
import type { Fault } from "./fault.ts";
import { folder, start } from "./training.ts";

const content = readFileSync("app/data/teacher/regnety-cifar10.safetensors");
const sum = createHash("sha256").update(content).digest("hex");

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
const good: Answer = (_, response) => void response.writeHead(200, { "content-length": content.length, etag: '"1"' }).end(content);
const status =
  (code: number): Answer =>
  (_, response) =>
    void response.writeHead(code).end("no file");

/** Begins a whole answer and ends the connection, or says nothing more, after `at` bytes. */
const partly =
  (at: number, then: "break" | "stall", headers: Record<string, string | number> = { "content-length": content.length }): Answer =>
  (_, response) => {
    response.writeHead(200, headers);
    response.write(content.subarray(0, at), () => then === "break" && setTimeout(() => response.destroy(), 20));
  };

interface Broken {
  readonly answer: (random: Random) => Answer;
  readonly fragment?: string;
  readonly got: RegExp;
}
const somewhere = (random: Random): number => 1 + random.int(content.length - 1);

const BROKEN: Readonly<Record<string, Broken>> = {
  "status 404": { answer: () => status(404), got: /got status 404/ },
  "status 503": { answer: () => status(503), got: /got status 503 after 4 tries/ },
  "cut short": { answer: (random) => partly(somewhere(random), "break"), got: /expected \d+ bytes of \S+, got .* after 4 tries/ },
  "cut short, its length not said": {
    answer: (random) => {
      const at = somewhere(random);
      return (_, response) => void response.writeHead(200).end(content.subarray(0, at));
    },
    got: /safetensors: |expected .*, got /,
  },
  "stalled in its body": { answer: (random) => partly(somewhere(random), "stall"), got: /got no byte for 0\.5 s after 4 tries/ },
  "stalled before its headers": { answer: () => () => undefined, got: /got no byte for 0\.5 s after 4 tries/ },
  "a page of HTML": {
    answer: () => (_, response) =>
      void response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Log in</title>"),
    got: /got .*HTML/,
  },
  "another checksum": {
    answer: () => good,
    fragment: `#sha256=${"0".repeat(64)}`,
    got: new RegExp(`expected sha256 0{64} of \\S+, got ${sum}`),
  },
};

let answer: Answer = good;
let asked = 0;
const server = createServer((request, response) => {
  asked++;
  answer(request, response);
});
server.unref();

/** The server's address, once it listens. */
async function base(): Promise<string> {
  if (!server.listening) await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

let files = 0;
/** Converts what is at `url`; the file that this makes of the whole download. */
const convert = (url: string, out: string): readonly string[] => [
  "convert",
  "--in",
  url,
  "--out",
  out,
  "--to",
  "timm",
  "--download-timeout",
  "0.5",
];
let expected: Promise<Buffer> | null = null;
const converted = () =>
  (expected ??= (async () => {
    const out = join(folder, "expected.safetensors");
    const { code, stderr } = await tessera(...convert("app/data/teacher/regnety-cifar10.safetensors", out));
    expect(code, stderr).toBe(0);
    return readFileSync(out);
  })());

const download = (name: string, { answer: make, fragment = "", got }: Broken): Fault => ({
  name: `download: ${name}`,
  tries: 2,
  survives: "exit 2 in one line, nothing written or kept; from the mended server the right file",
  async attempt(random) {
    const url = `${await base()}/${files++}.safetensors`;
    const out = join(folder, `download-${files}.safetensors`);
    answer = make(random);
    const { code, stderr } = await tessera(...convert(url + fragment, out));
    expect(code, stderr).toBe(2);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^tessera convert: expected .*/);
    expect(stderr).toMatch(got);
    expect(existsSync(out)).toBe(false);
    answer = good;
    const mended = await tessera(...convert(url, out));
    expect(mended.code, mended.stderr).toBe(0);
    expect(readFileSync(out).equals(await converted())).toBe(true);
    return undefined;
  },
});

const interrupted: Fault = {
  name: "download: cut short twice, and gone on with",
  tries: 2,
  survives: "the right file",
  async attempt(random) {
    const url = `${await base()}/${files++}.safetensors`;
    const out = join(folder, `download-${files}.safetensors`);
    let cuts = 2;
    answer = (request, response) => (cuts-- > 0 ? partly(somewhere(random), "break") : good)(request, response);
    const { code, stderr } = await tessera(...convert(url, out));
    expect(code, stderr).toBe(0);
    expect(readFileSync(out).equals(await converted())).toBe(true);
    return undefined;
  },
};

const atOnce: Fault = {
  name: "download: two processes at once",
  tries: 2,
  survives: "the right file in both; kept once, and used by a third",
  async attempt(random) {
    answer = (request, response) => void setTimeout(() => good(request, response), random.uniform(0, 200));
    const url = `${await base()}/${files++}.safetensors`;
    const outs = [1, 2].map((n) => join(folder, `download-${files}-${n}.safetensors`));
    const both = await Promise.all(outs.map((out) => start(convert(url, out)).ended));
    for (const { how, stderr } of both) expect(how, stderr).toBe(0);
    for (const out of outs) expect(readFileSync(out).equals(await converted())).toBe(true);
    const before = asked;
    answer = (request, response) =>
      request.headers["if-none-match"] === '"1"' ? void response.writeHead(304).end() : status(500)(request, response);
    rmSync(outs[0]!);
    const third = await tessera(...convert(url, outs[0]!));
    expect(third.code, third.stderr).toBe(0);
    expect(third.stderr).toContain("kept from before");
    expect(asked).toBe(before + 1);
    expect(readFileSync(outs[0]!).equals(await converted())).toBe(true);
    return undefined;
  },
};

export const downloads: readonly Fault[] = [...Object.entries(BROKEN).map(([name, broken]) => download(name, broken)), interrupted, atOnce];
