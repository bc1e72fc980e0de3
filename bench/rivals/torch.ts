/** PyTorch on the processor, in a process of its own: TESSERA_PYTHON names the Python that has it, default `python3`. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Benchmark, Inputs } from "../benchmark.ts";
import type { Contender, Prepared, RivalOptions } from "../contender.ts";

export default async function start({ base }: RivalOptions): Promise<Contender> {
  const threads = availableParallelism();
  const python = process.env["TESSERA_PYTHON"] ?? "python3";
  const child = spawn(python, [fileURLToPath(`${base}torch_bench.py`), String(threads)], {
    stdio: ["pipe", "pipe", "pipe"],
    // Its threads would keep spinning on the cores that a software adapter needs in its turn.
    env: { ...process.env, OMP_WAIT_POLICY: "PASSIVE", KMP_BLOCKTIME: "0" },
  });
  const ask = asker(child, python);
  const { version } = (await ask(null)) as { version: string };
  const folder = mkdtempSync(join(tmpdir(), "tessera-torch-"));
  const file = join(folder, "arrays.bin");
  const close = () => {
    child.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", close);
  // It holds one case at a time.
  return {
    name: "torch",
    version,
    flags: { on: "processor", threads, process: "its own", attention: "scaled_dot_product_attention" },
    close,
    async prepare(c: Benchmark, inputs: Inputs): Promise<Prepared> {
      let at = 0;
      const arrays = [...inputs].map(([name, { shape, data }]) => ({
        name,
        shape,
        size: data.length,
        at: (at += data.length) - data.length,
      }));
      const all = new Float32Array(at);
      [...inputs.values()].forEach(({ data }, i) => all.set(data, arrays[i]!.at));
      writeFileSync(file, new Uint8Array(all.buffer));
      await ask({ do: "prepare", work: c.work, backward: c.backward, file, arrays });
      return {
        run: async (times) => void (await ask({ do: "run", times })),
        async result() {
          const { sizes } = (await ask({ do: "result", file })) as { sizes: number[] };
          const bytes = readFileSync(file);
          const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
          let from = 0;
          return sizes.map((size) => values.slice(from, (from += size)));
        },
        dispose: () => void ask({ do: "forget" }).catch(() => undefined),
      };
    },
  };
}

/** One line out, one line in. `null` only waits for a line. */
function asker(child: ChildProcess, python: string): (request: object | null) => Promise<unknown> {
  const waiting: { resolve(value: unknown): void; reject(error: Error): void }[] = [];
  let complaint = "",
    gone: Error | null = null;
  child.stderr!.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  const end = (reason: string) => {
    gone = new Error(`torch: expected "${python}" (TESSERA_PYTHON) to have PyTorch and NumPy, got ${reason}`);
    for (const w of waiting.splice(0)) w.reject(gone);
  };
  child.on("error", (error) => end(error.message));
  child.on("close", (code) => end(complaint.trim().split("\n").at(-1) || `exit code ${code}`));
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const answer = JSON.parse(line) as { error?: string };
    const next = waiting.shift();
    if (answer.error !== undefined) next?.reject(new Error(answer.error));
    else next?.resolve(answer);
  });
  return (request) =>
    new Promise((resolve, reject) => {
      if (gone) return reject(gone);
      waiting.push({ resolve, reject });
      if (request) child.stdin!.write(`${JSON.stringify(request)}\n`);
    });
}
