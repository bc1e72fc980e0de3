/** The kernel lab: which module a text stands for, at which sizes it runs, and what is found wrong with it. */
import { expect, test } from "vitest";
import { makeReference } from "../app/site/lab/reference.ts";
import { workedExample } from "../app/site/lab/worked-example.ts";
import { opNamed } from "../checks/catalog.ts";
import { modulesOf, uniform } from "../checks/check.ts";
import { harder } from "../checks/harder.ts";
import { checkCase } from "../jobs/lab/check.ts";
import { debugKernel, withoutDbg } from "../jobs/lab/debug.ts";
import { draftFiles } from "../jobs/lab/draft-file.ts";
import { countOf, type Draft, type DraftKernel, parse } from "../jobs/lab/draft-text.ts";
import { draftOp } from "../jobs/lab/draft.ts";
import { bindingsOf, editsIn, forSizes, sameKernel } from "../jobs/lab/module.ts";
import { launchesOf, listCases } from "../jobs/lab/modules.ts";
import opFileJob from "../jobs/op-file.ts";
import opWgslJob from "../jobs/op-wgsl.ts";
import { memoryHost } from "./memory-host.ts";

const module = (label: string, sizes: string, body: string) => ({
  label,
  code: `@group(0) @binding(0) var<storage, read> x: array<f32>;\n@group(0) @binding(1) var<storage, read_write> y: array<f32>;\nconst D: u32 = ${sizes}u;\nconst E: u32 = 8u;\nfn main() {\n  ${body}\n}`,
});
const [a8, a9, b8] = [module("a", "8", "y[0] = x[D];"), module("a", "9", "y[0] = x[D];"), module("b", "8", "y[1] = x[0];\n  y[2] = x[E];")];

test("a text stands for the module with its bindings that shares the most lines with it", () => {
  const [edit] = editsIn(b8.code.replace("y[1]", "y[3]"), [a8, a9, b8]);
  expect(edit.shipped).toBe(b8);
  expect(editsIn(a9.code, [a8, a9, b8])[0].shipped).toBe(a9);
  expect(() => editsIn(a8.code.replaceAll("x", "z"), [a8, b8])).toThrow(
    /expected the bindings of one of its modules \(a: read x, read_write y; b: .*got read z, read_write y/,
  );
  expect(() => editsIn("fn other() {}", [a8])).toThrow(/expected a WGSL module with an entry point main, got none/);
  expect(bindingsOf("@group(0) @binding(1) var<uniform> p: P; @group(0) @binding(0) var<storage> x: array<f32>;")).toBe(
    "storage x, uniform p",
  );
});

test("of a file with several modules, those that were changed are the edits", () => {
  const file = `// forward: a, 1 workgroups\n${a8.code}\n\n// backward: b, 1 workgroups\n${b8.code.replace("y[1]", "y[7]")}\n`;
  const edits = editsIn(file, [a8, b8]);
  expect(edits.map(({ shipped }) => shipped.label)).toEqual(["b"]);
  expect(editsIn(file.replace("y[7]", "y[1]"), [a8, b8]).map(({ shipped }) => shipped.label)).toEqual(["a"]);
});

test("an edit runs at every size of its kernel; a size that it changed itself stays as it wrote it", () => {
  expect([sameKernel(a8.code, a9.code), sameKernel(a8.code, b8.code)]).toEqual([true, false]);
  expect(forSizes({ shipped: a8, code: a8.code.replace("x[D]", "x[0]") }, a9.code)).toBe(a9.code.replace("x[D]", "x[0]"));
  const [changed] = [a8.code.replace("const E: u32 = 8u;", "const E: u32 = 7u;")];
  expect(forSizes({ shipped: a8, code: changed }, a9.code)).toContain("const D: u32 = 9u;\nconst E: u32 = 7u;");
});

test("harder conditions: threads and workgroups in the other order, workgroup memory that holds something", () => {
  const text = harder(
    "var<workgroup> w: array<f32, 64>;\n@compute @workgroup_size(8, 8)\nfn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) li: u32) { w[li] = 1.0; }",
  )!;
  expect(text).toContain("let wid = harder_groups - 1u - harder_wid;");
  expect(text).toContain("let li = u32(8) * u32(8) * u32(1) - 1u - harder_li;");
  expect(text).toMatch(/for \(var i = harder_li; i < u32\(64\).*w\[i\] = f32\(1e30\); } workgroupBarrier\(\);/);
  // A subgroup's lanes stay where they are.
  expect(harder("@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) li: u32) { x = subgroupAdd(1.0); }")).not.toContain(
    "harder_li",
  );
});

const host = (text: string) => memoryHost({ kernel: new TextEncoder().encode(text) });
const judge = (text: string, only: string) => opFileJob(host(text), { name: "layerNorm", file: "kernel", only, check: true, time: false });
const shipped = async () =>
  (await opWgslJob(memoryHost({}), { name: "layerNorm" })).launches
    .map(({ pass, kernel, wgsl }) => `// ${pass}: ${kernel}\n${wgsl}`)
    .join("\n\n");

test("cases are listed without being run, with the modules that they launch", async () => {
  const listed = await listCases(opNamed("layerNorm"));
  const one = listed.find(({ test }) => test.name === "layerNorm (shared): one row")!;
  expect(one.modules.map(({ label }) => label)).toEqual(["layerNorm.forward", "layerNorm.backward"]);
});

test("the shipped text is right; cases that run another kernel are said not to", async () => {
  const { module, cases } = await judge(await shipped(), "one row");
  expect(module).toBe("layerNorm.forward");
  expect(cases.find(({ name }) => name === "layerNorm (register): one row")).toMatchObject({
    uses: true,
    ok: true,
    values: { ok: true },
    gradients: { x: { ok: true } },
  });
  expect(cases.find(({ name }) => name === "layerNorm (shared): one row")).toMatchObject({ uses: false, ok: true });
});

test("a wrong value and a wrong gradient are named with their element, each by its input", async () => {
  const text = await shipped();
  const { cases } = await judge(text.replace("i < p.len; i += 1u) { m +=", "i + 1u < p.len; i += 1u) { m +="), "(register): one row");
  expect(cases[0]).toMatchObject({ ok: false, values: { ok: false, at: expect.any(Number) } });
  const backward = await judge(text.replace(" - n * mean_gn", ""), "(register): one row");
  expect(backward.module).toBe("layerNorm.backward");
  expect(backward.cases[0]).toMatchObject({
    ok: false,
    values: { ok: true },
    gradients: { x: { ok: false, at: expect.any(Number) }, weight: { ok: true } },
  });
});

test("what values hide: a write past the end, and what only another order of threads shows", async () => {
  const text = await shipped();
  const past = await judge(
    text.replace("if (true) {", "if (row + 1u == p.rows) { y[p.rows * p.len] = y[0]; } if (true) {"),
    "(register): one row",
  );
  expect(past.cases[0]!.faults[0]).toMatch(/^y of layerNorm.forward: expected writes inside .*\(element 64 of 64\)/);
  const memory = text.replace("@compute", "var<workgroup> seen: array<f32, WG>;\n@compute").replace("var m = 0.0;", "var m = seen[li];");
  expect((await judge(memory, "(register): one row")).cases[0]!.faults[0]).toMatch(
    /^wrong only with workgroups and threads in the other order and workgroup memory that held 1e30/,
  );
});

test.each([
  // What it writes there is the NaN that it read behind its input.
  [
    "relu",
    "if (i < p.n) {",
    "{",
    /^ys of relu.forward: expected writes inside of its tensors only, got one at byte \d+ of a tensor of \d+/,
  ],
  // In place: what it reads is what it writes.
  [
    "adamw",
    "if (i >= p.n4) { return; }",
    "",
    /or \w+ of adamw: expected writes inside of its tensors only, got one at byte 16 of a tensor of 16/,
  ],
])("%s without its bound: a write past the end of what was read past an end", async (name, bound, without, fault) => {
  const { launches } = await opWgslJob(memoryHost({}), { name });
  const { wgsl } = launches.find((launch) => launch.wgsl.includes(bound))!;
  const { cases } = await opFileJob(host(wgsl.replace(bound, without)), { name, file: "kernel", check: true, time: false });
  expect(cases.find(({ ok }) => !ok)?.faults[0]).toMatch(fault);
});

test("WGSL that does not compile, and bindings of no kernel: bad input", async () => {
  const text = await shipped();
  await expect(judge(text.replace("var m = 0.0;", "var m = 0.0"), "one row")).rejects.toThrow(
    /expected WGSL that this adapter runs, got layerNorm.forward: WGSL \d+:\d+/,
  );
  await expect(judge(text, "no such case")).rejects.toThrow(/expected a part of a case's name of layerNorm, got "no such case"/);
});

test("a new operation, from what is typed: right with both gradients; a fault is named as in a shipped one", async () => {
  const verdicts = async (draft: Draft) => {
    const { op, cases } = draftOp(draft, await makeReference(draft));
    const listed = await Promise.all([cases[1]!].map(async (test) => ({ test, modules: await modulesOf(test) })));
    return checkCase(
      op,
      listed[0]!.modules.map((module) => ({ shipped: module, code: module.code })),
      listed[0]!,
    );
  };
  expect(await verdicts(workedExample)).toMatchObject({
    ok: true,
    values: { ok: true },
    gradients: { x: { ok: true }, weight: { ok: true } },
    faults: [],
  });
  const [forward, dx, dweight] = workedExample.kernels as [DraftKernel, DraftKernel, DraftKernel];
  const unweighted = { ...dx, body: dx.body.replace("dy[at] * weight[i] -", "dy[at] -") };
  expect(await verdicts({ ...workedExample, kernels: [forward, unweighted, dweight] })).toMatchObject({
    ok: false,
    values: { ok: true },
    gradients: { x: { ok: false, at: expect.any(Number) }, weight: { ok: true } },
  });
  // Without a backward, values alone.
  expect(await verdicts({ ...workedExample, kernels: [forward] })).toMatchObject({ ok: true, gradients: {} });
});

test("what is typed for a new operation is refused with what was expected", () => {
  const refused = (change: Partial<Draft>) => expect(() => parse({ ...workedExample, ...change }));
  const kernel = (change: Partial<DraftKernel>) =>
    refused({ kernels: workedExample.kernels.map((k, i) => (i === 0 ? { ...k, ...change } : k)) });
  refused({ name: "" }).toThrow('name: expected a name such as rmsNorm, got ""');
  refused({ inputs: "x" }).toThrow('inputs: expected a name and a shape, such as "x [..,D]", got "x"');
  refused({ attrs: "eps = -1" }).toThrow('attributes: expected positive numbers, such as "eps = 1e-6", got "eps = -1"');
  refused({ kernels: workedExample.kernels.slice(0, 2) }).toThrow(
    "expected a backward that writes dx, dweight, got none that writes dweight",
  );
  kernel({ reads: "z" }).toThrow('kernel 1: expected to read one of x, weight, got "z"');
  kernel({ writes: "y, scale" }).toThrow('kernel 1: expected the shape of scale, such as "scale [..]", got none');
  kernel({ count: "rows*E" }).toThrow('kernel 1: expected a count of D, rows and numbers, such as "rows*4", got "rows*E"');
  kernel({ body: "y[0] = p.E;" }).toThrow("rmsNorm.forward: expected p.rows, p.D, p.eps, got p.E");
  expect([countOf("rows*D/4 + 1", { rows: 3, D: 6 }), countOf("D / 4", { D: 5 })]).toEqual([6, 2]);
  expect(countOf("ceil(M/16)*ceil(N / 16)", { M: 17, N: 33 })).toBe(6);
});

test("a new operation's files: kernels/ and checks/cases/, with elements as strict TypeScript has them", () => {
  const [kernel, cases] = draftFiles(workedExample);
  expect([kernel.path, cases.path]).toEqual(["kernels/rms-norm.ts", "checks/cases/rms-norm.ts"]);
  expect(kernel.text).toContain("backward(dy, { scale }, [x, weight]) {");
  expect(cases.text).toContain("y[from + i] = (x[from + i]! / rms) * weight[i]!;");
  expect(() => draftFiles({ ...workedExample, kernels: workedExample.kernels.slice(0, 1) })).toThrow("expected a backward to make a file");
});

test("a typed reference runs apart: it has nothing of the page, and its faults have their lines", async () => {
  const run = async (reference: string) => {
    const f = await makeReference({ ...workedExample, reference });
    return [...Array.from(f([new Float64Array(4), new Float64Array([5])], { D: 4, rows: 1, eps: 2 }))];
  };
  expect(
    await run("return [weight[0], eps, D, typeof fetch === 'undefined' && typeof globalThis.process === 'undefined' ? 1 : 0];"),
  ).toEqual([5, 2, 4, 1]);
  await expect(run("const a = 1;\nreturn a.b.c;")).rejects.toThrow(/^reference: line 2: TypeError: cannot read property 'c' of undefined/);
  await expect(run("return 3;")).rejects.toThrow("expected it to return the values of y, got number");
});

test("dbg tells what chosen threads saw, in loops and behind barriers; checked text has none of it", async () => {
  const op = opNamed("softmax");
  const { forward, dispose } = launchesOf(op, op.problem("12x197x197"), "shared");
  dispose();
  const module = { label: forward[0]!.pipeline.label, code: forward[0]!.pipeline.code };
  const code = module.code
    .replace("let total = partial_sum[0];", "let total = partial_sum[0]; dbg(i, total); // dbg(0, 0)")
    .replace("{ s += exp(x[i] - f32(m));", "{ s += exp(x[i] - f32(m)); dbg(i, vec2u(group, li));");
  expect(withoutDbg(code)).toBe(module.code.replace("partial_sum[0];", "partial_sum[0]; ; // dbg(0, 0)").replace("f32(m));", "f32(m)); ;"));
  const { rows, size, left } = await debugKernel(op, { shipped: module, code }, "3:4, 0:62-63");
  expect([size, left]).toEqual(["softmax 12x197x197", 0]);
  const line = (text: string) => code.slice(0, code.indexOf(text)).split("\n").length;
  const loop = rows.filter((row) => row.line === line("dbg(i, vec2u"));
  // Thread 4 of a row of 197 goes over four elements, 62 and 63 over three.
  expect(loop.map(({ workgroup, thread, i, value }) => [workgroup, thread, i, value])).toEqual([
    ...[0, 1, 2].map((k) => [0, 62, 62 + 64 * k, [0, 62]]),
    ...[0, 1, 2].map((k) => [0, 63, 63 + 64 * k, [0, 63]]),
    ...[0, 1, 2, 3].map((k) => [3, 4, 3 * 197 + 4 + 64 * k, [3, 4]]),
  ]);
  // What all threads had left before the last barrier: the row's sum.
  const x = uniform(12 * 197 * 197, 1);
  const total = (row: number) => {
    const values = x.slice(row * 197, (row + 1) * 197);
    const max = Math.max(...values);
    return values.reduce((sum, v) => sum + Math.exp(v - max), 0);
  };
  const behind = rows.filter((row) => row.line === line("dbg(i, total"));
  expect(behind.map(({ workgroup, thread, i }) => [workgroup, thread, i])).toEqual([
    [0, 62, 62],
    [0, 63, 63],
    [3, 4, 4],
  ]);
  for (const { workgroup, value } of behind) expect(value[0]).toBeCloseTo(total(workgroup), 3);
  await expect(debugKernel(op, { shipped: module, code: module.code }, "0:0")).rejects.toThrow(
    "expected a call of dbg(i, value) in the text",
  );
  await expect(debugKernel(op, { shipped: module, code }, "all")).rejects.toThrow("expected threads as WORKGROUP:THREAD");
});
