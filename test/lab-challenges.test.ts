/** The lab's challenges: what an entry's text says, what it is judged on, three ways to a score without the work, the result file. */
import { expect, test } from "vitest";
import type { Challenge } from "../checks/challenge.ts";
import { challenges } from "../checks/challenges.ts";
import { opNamed } from "../checks/catalog.ts";
import challengeJob, { type ChallengeArgs } from "../jobs/challenge.ts";
import { faultAt, type Judged } from "../jobs/lab/challenges/correct.ts";
import { hiddenSizes, nearSize, valuesFor } from "../jobs/lab/challenges/drawn.ts";
import { entryOf, lineIn } from "../jobs/lab/challenges/entry.ts";
import { judge, modulesOf } from "../jobs/lab/challenges/judge.ts";
import { challengeFile } from "../jobs/lab/challenges/result-file.ts";
import { memoryHost } from "./memory-host.ts";

const SEED = 20141;
const softmax = challenges["softmax"]!;
const replaced = (text: string, from: string, to: string): string => {
  if (!text.includes(from)) throw new Error(`expected ${from} in the start, got none`);
  return text.replace(from, () => to);
};

test("there are twelve, each of an operation of the catalog", () => {
  expect(Object.keys(challenges)).toHaveLength(12);
  for (const { op } of Object.values(challenges)) expect(opNamed(op).name).toBe(op);
});

/** Its smallest sizes, a little larger. */
const small = ({ hidden }: Challenge) =>
  Object.fromEntries(Object.entries(hidden).map(([letter, [least, , step = 1]]) => [letter, Math.max(least, step) + 2 * step]));

test.each(Object.entries(challenges))("%s: the start and the shipped kernels are right", async (_, challenge) => {
  const entry = entryOf(challenge, challenge.start);
  const shipped: Judged = (inputs, n) => challenge.shipped(inputs, n);
  for (const judged of [((inputs, n) => () => entry.run(inputs, n)) as Judged, shipped])
    expect(await faultAt(challenge, judged, small(challenge), SEED)).toBeNull();
});

test("a write past the end of what was read past the inputs' ends is told", async () => {
  const adamw = challenges["adamw"]!;
  const entry = entryOf(adamw, replaced(adamw.start, "if (i >= p.N) { return; }", ""));
  const fault = await faultAt(adamw, (inputs, n) => () => entry.run(inputs, n), { N: 20 }, SEED);
  expect(fault?.why).toMatch(/^new\w+ of entry: expected writes inside of its tensors only, got one at byte 80 of a tensor of 80/);
});

test("sizes follow from the seed: some odd, within their ranges and steps; values differ by half in the sets that take turns", () => {
  for (const challenge of Object.values(challenges)) {
    const sizes = hiddenSizes(challenge, SEED);
    expect(hiddenSizes(challenge, SEED)).toEqual(sizes);
    expect(hiddenSizes(challenge, SEED + 1)).not.toEqual(sizes);
    const near = nearSize(challenge, challenge.published.software, SEED);
    for (const [letter, [least, most, step = 1]] of Object.entries(challenge.hidden)) {
      for (const n of sizes) expect(n[letter]! >= least && n[letter]! <= most && n[letter]! % step === 0).toBe(true);
      expect(sizes.some((n) => (n[letter]! / step) % 2 === 1)).toBe(true);
      expect(near[letter]! > challenge.published.software[letter]! && near[letter]! % step === 0).toBe(true);
    }
  }
  const n = { rows: 10, D: 100 };
  const first = valuesFor(softmax, n, SEED);
  const second = valuesFor(softmax, n, SEED + 100, { like: { values: first, changed: 1 / 2 } });
  const same = second["x"]!.filter((v, i) => v === first["x"]![i]).length;
  expect(same).toBeGreaterThan(400);
  expect(same).toBeLessThan(600);
});

const LIMITS = { samples: 2, seconds: 0.05, atMostSeconds: 0.2, sampleMs: 1, warmMs: 0 };
const judged = (text: string) => judge("softmax", text, { seed: SEED, limits: LIMITS });

/** A better entry than the start: a thread per row. */
const ROWS = `// kernel: reads x; writes y; threads rows; workgroup 64
fn main() {
  let row = group * WG + li;
  if (row >= p.rows) { return; }
  let first = row * p.D;
  var most = x[first];
  for (var i = 1u; i < p.D; i++) { most = max(most, x[first + i]); }
  var sum = 0.0;
  for (var i = 0u; i < p.D; i++) { sum += exp(x[first + i] - most); }
  for (var i = 0u; i < p.D; i++) { y[first + i] = exp(x[first + i] - most) / sum; }
}
`;

test("an entry that is right has a score, of two sizes", async () => {
  const result = await judged(ROWS);
  expect(result).toMatchObject({ op: "softmax", refused: null, seed: SEED, entry: ROWS });
  expect(result.checks.map(({ hidden, stretched = false, reversed = false, fault }) => [hidden, stretched, reversed, fault])).toEqual([
    [false, false, false, null],
    ...Array(4).fill([true, false, false, null]),
    [true, true, false, null],
    [true, false, true, null],
    [true, false, false, null],
  ]);
  expect(result.times).toHaveLength(2);
  expect(result.score).toBeGreaterThan(0);
});

test("refused: right at the published size alone", async () => {
  const { refused, score } = await judged(ROWS.replaceAll("p.D", "197u").replaceAll("p.rows", "197u"));
  expect(refused?.kind).toBe("fixed shape");
  expect(refused?.why).toMatch(/^right at rows 197, D 197, not at rows \d{3}, D \d{3}: /);
  expect(score).toBeNull();
});

test("refused: the same answer for other values", async () => {
  const { refused } = await judged(replaced(ROWS, "exp(x[first + i] - most) / sum", "1.0 / f32(p.D)"));
  expect(refused?.kind).toBe("constants");
  expect(refused?.why).toMatch(/^at rows 197, D 197: y\[\d+\]: expected [\d.e-]+, got 0.00507614; all of y is the same for other values/);
});

test("refused: outputs that are not written; outputs that only the checked run writes", async () => {
  const unwritten = await judged(replaced(ROWS, "row >= p.rows", "row >= p.rows || row == 4u"));
  expect(unwritten.refused).toEqual({
    kind: "work left out",
    why: expect.stringMatching(/^at rows 197, D 197: y\[788\]: expected [\d.e-]+, got memory that was never written$/),
  });
  const stale = await judged(replaced(ROWS, "var most =", "if (abs(y[first]) < 2.0) { return; }\n  var most ="));
  expect(stale.checks.every(({ fault }) => fault === null)).toBe(true);
  expect(stale.refused).toEqual({
    kind: "work left out",
    why: expect.stringMatching(/^right when it is checked, but in a timed run y\[\d+\]: expected .*, which a run before had left$/),
  });
  expect(stale.score).toBeNull();
});

test("refused: answers that are kept and found again by a few of the inputs", async () => {
  // Room for four answers of each row, found by its first two values.
  const kept = replaced(ROWS, "writes y", "writes y, keys [rows,4], kept [rows,4,D]")
    .replace(
      "var most =",
      "let key = x[first] + x[first + 1u];\n  for (var k = row * 4u; k < row * 4u + 4u; k++) {\n    if (keys[k] == key) { for (var i = 0u; i < p.D; i++) { y[first + i] = kept[k * p.D + i]; } return; }\n  }\n  var most =",
    )
    .replace(
      /\}\n$/,
      "  for (var k = row * 4u; k < row * 4u + 4u; k++) {\n    if (!(abs(keys[k]) < 4e2)) { keys[k] = key; for (var i = 0u; i < p.D; i++) { kept[k * p.D + i] = y[first + i]; } return; }\n  }\n}\n",
    );
  const { checks, refused } = await judged(kept);
  expect(checks.every(({ fault }) => fault === null)).toBe(true);
  expect(refused).toEqual({ kind: "work left out", why: expect.stringMatching(/which a run before had left$/) });
});

test("wrong: without the maximum, which only large values show", async () => {
  const { refused } = await judged(ROWS.replaceAll(" - most", ""));
  expect(refused).toEqual({
    kind: "wrong",
    why: expect.stringMatching(/^at rows \d+, D \d+: y\[\d+\]: expected [\d.e-]+, got (NaN|Infinity|0)$/),
  });
});

test("a text: several kernels, memory between them, kernels for some sizes only", () => {
  const start = challenges["attention-backward"]!;
  const two = entryOf(start, start.start);
  expect(
    two.kernels.map(({ reads, writes, lines }) => [reads.length, writes.map(({ name, shape }) => `${name} ${shape}`), lines.header]),
  ).toEqual([
    [6, ["dq [heads,N,D]", "delta [heads,N]"], 3],
    [6, ["dk [heads,N,D]", "dv [heads,N,D]"], 31],
  ]);
  const copy = challenges["copy"]!;
  const fours =
    "// kernel: reads x: vec4f; writes y: vec4f; threads N/4; only N%4 = 0\nfn main() {\n  let i = group * WG + li; if (i < p.N / 4u) { y[i] = max(x[i], vec4f()); }\n}\n";
  const both = entryOf(copy, `${fours}${replaced(copy.start, "workgroup 64", "workgroup 64; only N%4 > 0")}`);
  const counts = (N: number) => modulesOf(copy, both, { N }).map(({ kernel }) => kernel.count);
  expect([counts(64), counts(63)]).toEqual([["N/4"], ["N"]]);
  const [{ kernel, pipeline }] = modulesOf(copy, both, { N: 63 }) as [ReturnType<typeof modulesOf>[number]];
  const line = pipeline.code.split("\n").findIndex((text) => text.includes("y[i] = max(x[i], 0.0)")) + 1;
  expect(`${fours}${copy.start}`.split("\n")[lineIn(kernel, pipeline.code, line) - 1]).toContain("y[i] = max(x[i], 0.0)");
});

test.each([
  ["fn main() {}", /^expected a line such as "\/\/ kernel: reads x; writes y; threads N; workgroup 64" before each kernel, got none$/],
  ["// kernel: reads z; writes y; threads N\nfn main() {\n}", /^line 1: expected to read one of x, got "z"$/],
  [
    "// kernel: reads x; writes z; threads N\nfn main() {\n}",
    /^line 1: expected an output \(y\) or a name with its shape, such as "z \[N\]", got "z"$/,
  ],
  [
    "// kernel: reads x; writes x; threads N\nfn main() {\n}",
    /^line 1: expected outputs, and others by names of their own, to be written, got the input x$/,
  ],
  ["// kernel: reads x; writes part [Q]; threads N\nfn main() {\n}", /^line 1: expected a shape of N and numbers, got "\[Q\]"$/],
  ["// kernel: reads x; writes y; threads M\nfn main() {\n}", /^line 1: expected a count of N and numbers, such as "rows\*4", got "M"$/],
  ["// kernel: reads x; writes y\nfn main() {\n}", /^line 1: expected threads or groups, got none$/],
  ["// kernel: reads x; writes y; threads N; workgroup 0\nfn main() {\n}", /^line 1: expected threads in a workgroup, got "0"$/],
  [
    "// kernel: reads x; writes y; threads N; only Q = 1\nfn main() {\n}",
    /^line 1: expected a condition such as "only N%4 = 0", or "> 0", got "Q = 1"$/,
  ],
  ["// kernel: reads x; writes y; threads N; fast yes\nfn main() {\n}", /^line 1: expected reads, writes, .*got "fast yes"$/],
  ["\n// kernel: reads x; writes y; threads N\n@compute fn other() {}", /^line 2: expected "fn main\(\) \{" after it, got none$/],
  ["// kernel: reads x; writes y; threads N\nfn main() {\n  y[0] = p.rows;\n}", /^line 1: expected p.N, got p.rows$/],
  ["// kernel: reads x; writes part [N]; threads N\nfn main() {\n}", /^expected kernels that write y, got none$/],
])("bad input: %s", (text, message) => {
  expect(() => entryOf(challenges["copy"]!, text)).toThrow(message);
});

const job = (files: Readonly<Record<string, string>>, args: ChallengeArgs) =>
  challengeJob(memoryHost(Object.fromEntries(Object.entries(files).map(([name, text]) => [name, new TextEncoder().encode(text)]))), args);

test("what does not compile is told with the text's own line", async () => {
  const text = replaced(ROWS, "var sum = 0.0;", "var sum = zero;");
  const line = text.slice(0, text.indexOf("zero")).split("\n").length;
  await expect(job({ k: text }, { challenge: "softmax", file: "k" })).rejects.toThrow(
    new RegExp(`^line ${line}: expected WGSL that this adapter runs, got: .*zero`),
  );
  await expect(job({}, { challenge: "nothing", file: "k" })).rejects.toThrow(/^expected a challenge adamw, .*got "nothing"$/);
});

test("a result file: judged again on the same sizes; a changed text or another file is refused", async () => {
  const wrong = replaced(ROWS, "/ sum", "* sum"); // refused early: no time is taken
  const first = await job({ k: wrong }, { challenge: "softmax", file: "k", seed: 5 });
  const adapter = { vendor: "v", architecture: "a", device: "d", description: "some adapter", software: true };
  const file = JSON.stringify({ where: "node", adapter, ...first });
  expect(challengeFile(file)).toMatchObject({ seed: 5, entry: wrong });
  const again = await job({ r: file }, { again: "r" });
  expect(again).toEqual({ ...first, before: { score: null, scoreRange: null, adapter: "some adapter" } });
  await expect(job({ r: file.replace("* sum", "/ sum") }, { again: "r" })).rejects.toThrow(
    /^expected the entry that was judged, got a text with another hash \(r\)$/,
  );
  await expect(job({ r: file.replace('"seed":5', '"seed":"5"') }, { again: "r" })).rejects.toThrow(
    /^expected a result of op --challenge --json, got one with a fault: seed: expected .*, got "5" \(r\)$/,
  );
  await expect(job({ r: "{" }, { again: "r" })).rejects.toThrow(/^expected the JSON of a challenge's result, got another text \(r\)$/);
});
