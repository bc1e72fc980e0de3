/** The README's first page, run as it is printed: bundled against the sources, in headless Chromium. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "puppeteer-core";
import sharp from "sharp";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchBrowser } from "../../cli/node/chromium.ts";
import { decodeImage } from "../../cli/node/decode-image.ts";
import { noGrad } from "../../engine/autograd.ts";
import { Tensor } from "../../engine/tensor.ts";
import { normalizeImages } from "../../kernels/augment/normalize.ts";
import { writeSafetensors } from "../../models/checkpoints/safetensors.ts";
import { inputBytes, preprocess, preprocessing } from "../../models/images/protocols.ts";
import { createModel } from "../../models/model.ts";
import { initialState, loadParams } from "../../models/params.ts";
import { IMAGENET_LABELS } from "../../tasks/imagenet.ts";

const PATIENCE = 240_000;
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PHOTO = join(ROOT, "test/golden/images/rgb.jpg");
const MODEL = createModel("deit_tiny_distilled_patch16_224");
const STATE = initialState(MODEL.params, 3);

/** The first code block of README.md under `heading`. */
async function example(heading: string): Promise<string> {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const code = new RegExp(`^## ${heading}\\s+\`\`\`ts\\n([^]*?)^\`\`\``, "m").exec(readme)?.[1];
  if (!code) throw new Error(`README.md: expected a heading "${heading}" with a block of TypeScript, got none`);
  return code;
}

const statements = (code: string): number => code.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("import ")).length;

const photo = (label: string, i: number): Promise<Buffer> => {
  const background = label === "cat" ? { r: 220, g: 120, b: 30 + 8 * i } : { r: 40, g: 60 + 8 * i, b: 200 };
  return sharp({ create: { width: 80 + i, height: 90, channels: 3, background } })
    .png()
    .toBuffer();
};

const weights = (): Uint8Array => writeSafetensors(new Map([...STATE].map(([name, t]) => [name, { dtype: "F32" as const, ...t }])));

describe("the README's first page", { timeout: PATIENCE }, () => {
  let folder: string, browser: Browser, server: Server;

  beforeAll(async () => {
    folder = await mkdtemp(join(ROOT, ".cache/readme-"));
    browser = await launchBrowser();
    server = createServer(async (request, response) => {
      const path = new URL(request.url!, "http://page").pathname;
      const [, label, i] = /^\/photos\/(cat|dog)-(\d)\.png$/.exec(path) ?? [];
      const send = (type: string, body: string | Uint8Array) => response.writeHead(200, { "content-type": type }).end(body);
      if (path.endsWith(".html"))
        send("text/html", `<link rel="icon" href="data:,"><script type="module" src="${path.replace(".html", "/main.js")}"></script>`);
      else if (path === "/deit.safetensors") send("application/octet-stream", weights());
      else if (path === "/photo.jpg") send("image/jpeg", await readFile(PHOTO));
      else if (label) send("image/png", await photo(label, Number(i)));
      else send("text/javascript", await readFile(join(folder, path)));
    }).listen(0, "127.0.0.1");
  }, PATIENCE);

  afterAll(async () => {
    await browser?.close();
    server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** What the block logs last, by value. */
  async function run(name: string, code: string): Promise<unknown[]> {
    const entry = join(folder, `${name}.ts`);
    await writeFile(entry, code);
    await build({
      configFile: false,
      logLevel: "error",
      root: ROOT,
      resolve: {
        alias: [
          { find: /^tessera-gpu$/, replacement: join(ROOT, "index.ts") },
          { find: /^tessera-gpu\/(.*)$/, replacement: `${ROOT}/$1.ts` },
        ],
      },
      build: {
        outDir: join(folder, name),
        emptyOutDir: true,
        target: "es2023",
        minify: false,
        lib: { entry, formats: ["es"], fileName: () => "main.js" },
      },
    });
    const page = await browser.newPage();
    const failed = new Promise<never>((_, reject) => page.on("pageerror", reject));
    const logged = new Promise<unknown[]>((resolve) =>
      page.on("console", (message) => {
        if (message.type() === "log") void Promise.all(message.args().map((arg) => arg.jsonValue())).then(resolve);
        else console.error("page:", message.text());
      }),
    );
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}.html`);
    const found = await Promise.race([logged, failed]);
    await page.close();
    return found;
  }

  test("is at most 140 lines", async () => {
    expect((await readFile(join(ROOT, "README.md"), "utf8")).trimEnd().split("\n").length).toBeLessThanOrEqual(140);
  });

  test("two lines classify a photo as Node does", async () => {
    const code = await example("In a page: two lines classify");
    expect(statements(code)).toBe(2);
    const [found] = (await run("classify", code)) as [{ label: string; index: number; probability: number }[]];
    const steps = preprocessing("timm", MODEL.name, 224);
    const image = preprocess(await decodeImage(await readFile(PHOTO), { upright: true }), steps);
    const x = normalizeImages(Tensor.from(inputBytes([image]), [1, 3, 224, 224], "u8"), steps);
    const logits = await noGrad(() => MODEL.forward(loadParams(MODEL.name, MODEL.params, STATE), x)).logits.floats();
    const index = logits.indexOf(Math.max(...logits));
    expect(found).toHaveLength(5);
    expect(found[0]).toMatchObject({ index, label: IMAGENET_LABELS[index] });
  });

  test("twelve lines teach two classes, keep the model and load it again", async () => {
    const code = await example("Twelve lines teach it your classes");
    expect(statements(code)).toBeLessThanOrEqual(12);
    expect(await run("teach", code)).toEqual(["dog", 1, "4x4", 16]);
  });
});
