/**
 * `dbg(i, value);` in a kernel's text: what chosen threads saw there, in their order. The text runs once, on a timed size; in every
 * checked or timed run the calls are taken out. A value may be a number, a bool or a vector; its type is found by compiling.
 */
import { endOf } from "../../checks/harder.ts";
import type { Op } from "../../checks/op.ts";
import { getDevice } from "../../engine/device.ts";
import { ShaderError } from "../../engine/errors.ts";
import { flush, type Launch } from "../../engine/launch.ts";
import { destroyBuffer } from "../../engine/memory.ts";
import { pipelineOf } from "../../engine/pipeline.ts";
import { readAll, Tensor } from "../../engine/tensor.ts";
import { UsageError } from "../errors.ts";
import { forSizes, sameKernel, type Edit } from "./module.ts";
import { replay, type Home } from "./replay.ts";
import { problemWith } from "./time.ts";

export interface SeenRow {
  /** Of the text, from 1. */
  readonly line: number;
  readonly workgroup: number;
  readonly thread: number;
  readonly i: number;
  /** A number, a bool, or a vector's components. */
  readonly value: readonly (number | boolean)[];
  /** Of a new operation: which of its kernels, from 0. */
  readonly kernel?: number;
}

export interface Seen {
  /** The size that it ran on. */
  readonly size: string;
  readonly workgroups: readonly number[];
  /** By workgroup and thread, then in the thread's own order. */
  readonly rows: readonly SeenRow[];
  /** Calls that found no room. */
  readonly left: number;
}

const MOST = 4096;
const WORDS = 8;

/** The text without its calls of `dbg`, each line where it was. */
export const withoutDbg = (code: string): string =>
  callsIn(code).reduceRight(
    (text, { from, to }) => text.slice(0, from) + code.slice(from, to).replace(/[^\n]/g, "") + text.slice(to),
    code,
  );

/** `threads`: "0:0-3, 5:1", workgroups by their number and threads by their index in it. */
export async function debugKernel(op: Op, edit: Edit, threads: string): Promise<Seen> {
  const calls = callsIn(edit.code);
  if (calls.length === 0) throw new UsageError("expected a call of dbg(i, value) in the text, got none");
  const chosen = chosenBy(threads);
  const plain = [{ ...edit, code: withoutDbg(edit.code) }];
  const set = getDevice().adapter.software ? "software" : "gpu";
  const found = problemWith(op, plain, set);
  if (!found) throw new UsageError("expected a kernel that one of the operation's timed sizes runs, got another");
  const { sized, passes } = found;
  const all = [...passes.forward, ...passes.backward];
  const at = all.findIndex(({ pipeline }) => sameKernel(edit.shipped.code, pipeline.code));
  const launch = all[at]!;
  const own: Home = new Map();
  const log = Tensor.zeros([WORDS * (MOST + 1)], "u32");
  try {
    const { code, types } = await instrumented(forSizes(edit, launch.pipeline.code), launch, chosen);
    const { label, signature } = launch.pipeline;
    const logged: Launch = {
      ...launch,
      pipeline: pipelineOf(label, code, signature.replace(/u?$/, "w$&")),
      bindings: [...launch.bindings, { storage: log.storage, offset: 0, bytes: log.bytes, access: "update" }],
    };
    flush();
    await replay([...all.slice(0, at), logged], [], own);
    const [words] = (await readAll([log])) as unknown as [Uint32Array];
    return { size: sized.name, workgroups: launch.groups, ...rowsOf(words, calls, types) };
  } finally {
    log.dispose();
    passes.dispose();
    for (const buffer of own.values()) destroyBuffer(getDevice(), buffer);
  }
}

interface Call {
  readonly line: number;
  /** Of the call, without its semicolon. */
  readonly from: number;
  readonly to: number;
  readonly i: string;
  readonly value: string;
}

function callsIn(code: string): Call[] {
  const uncommented = code.replace(/\/\/.*|\/\*[^]*?\*\//g, (comment) => comment.replace(/[^\n]/g, " "));
  return [...uncommented.matchAll(/(?<![\w.])dbg\s*\(/g)].map(({ index, 0: head }) => {
    const to = endOf(uncommented, index + head.length);
    const inside = uncommented.slice(index + head.length, to);
    const comma = [...inside].findIndex((char, k) => char === "," && balanced(inside.slice(0, k)));
    const line = code.slice(0, index).split("\n").length;
    if (comma < 0) throw new UsageError(`line ${line}: expected dbg(i, value), got dbg(${inside})`);
    return { line, from: index, to: to + 1, i: inside.slice(0, comma), value: inside.slice(comma + 1) };
  });
}

const balanced = (text: string): boolean => count(text, /[([]/g) === count(text, /[)\]]/g);
const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;

interface Chosen {
  readonly workgroup: number;
  readonly first: number;
  readonly last: number;
}

function chosenBy(text: string): Chosen[] {
  const parts = text.split(",").map((part) => /^\s*(\d+)\s*:\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part));
  if (parts.includes(null))
    throw new UsageError(`expected threads as WORKGROUP:THREAD or WORKGROUP:FIRST-LAST, such as "0:0-3, 5:1", got "${text}"`);
  return parts.map((part) => ({ workgroup: Number(part![1]), first: Number(part![2]), last: Number(part![3] ?? part![2]) }));
}

/** Types that a value may have, and its words. The likeliest first: they are tried in this order. */
const TYPES = ["f32", "vec4f", "u32", "i32", "bool", "vec2f", "vec3f", "vec2u", "vec3u", "vec4u", "vec2i", "vec3i", "vec4i"] as const;
type Type = (typeof TYPES)[number];

const widthOf = (type: Type): number => Number(/\d(?=[fui]$)/.exec(type.startsWith("vec") ? type : "")?.[0] ?? 1);

/** The text with a log behind its storage buffers, and each call's type. Lines stay where they are. */
async function instrumented(
  code: string,
  { bindings, uniform }: Launch,
  chosen: readonly Chosen[],
): Promise<{ readonly code: string; readonly types: readonly Type[] }> {
  const binding = bindings.length;
  const calls = callsIn(code);
  let text = calls.reduceRight(
    (all, { from, to, i, value }, k) => `${all.slice(0, from)}dbg_call_${k}(u32(${i}), ${value})${all.slice(to)}`,
    code,
  );
  if (uniform) text = text.replace(/@binding\(\d+\)(?=\s*var<uniform>)/, `@binding(${binding + 1})`);
  text = withIds(text);
  const tried = calls.map(() => 0);
  for (;;) {
    const types = tried.map((k) => TYPES[k]!);
    const whole = `${text}\n${log(binding, chosen, types)}`;
    const { gpu } = getDevice();
    gpu.pushErrorScope("validation");
    const module = gpu.createShaderModule({ code: whole });
    const [{ messages }] = await Promise.all([module.getCompilationInfo(), gpu.popErrorScope()]);
    const errors = messages.filter(({ type }) => type === "error");
    if (errors.length === 0) return { code: whole, types };
    // An argument of another type than the one that is tried.
    const wrong = calls.findIndex(({ line }, k) =>
      errors.some(
        (error) => new RegExp(`dbg_call_${k}\\b`).test(error.message) || (!/dbg_call_/.test(error.message) && error.lineNum === line),
      ),
    );
    if (wrong < 0 || ++tried[wrong]! >= TYPES.length) throw new ShaderError("dbg", errors, whole);
  }
}

/** Keeps who a thread is where every function sees it. */
function withIds(code: string): string {
  const head = /fn\s+main\s*\(/.exec(code);
  if (!head) throw new UsageError("expected a WGSL module with an entry point main, got none");
  const from = head.index + head[0].length;
  const to = endOf(code, from);
  const body = code.indexOf("{", to) + 1;
  const own = code.slice(from, to).trim().replace(/,$/, "");
  const nameOf = (builtin: string) => new RegExp(`@builtin\\(${builtin}\\)\\s*(\\w+)`).exec(own)?.[1];
  const ids = [
    ["workgroup_id", "vec3u"],
    ["num_workgroups", "vec3u"],
    ["local_invocation_index", "u32"],
  ] as const;
  const [group, groups, index] = ids.map(([builtin]) => nameOf(builtin) ?? `dbg_${builtin}`);
  const added = ids.flatMap(([builtin, type]) => (nameOf(builtin) ? [] : [`@builtin(${builtin}) dbg_${builtin}: ${type}`]));
  const kept = ` dbg_thread = ${index}; dbg_workgroup = ${group}.x + ${groups}.x * (${group}.y + ${groups}.y * ${group}.z);`;
  return code.slice(0, from) + [own, ...added].filter(Boolean).join(", ") + code.slice(to, body) + kept + code.slice(body);
}

function log(binding: number, chosen: readonly Chosen[], types: readonly Type[]): string {
  const isChosen = chosen.map(
    ({ workgroup, first, last }) => `(dbg_workgroup == ${workgroup}u && dbg_thread >= ${first}u && dbg_thread <= ${last}u)`,
  );
  return [
    `@group(0) @binding(${binding}) var<storage, read_write> dbg_log: array<atomic<u32>>;`,
    "var<private> dbg_thread: u32;",
    "var<private> dbg_workgroup: u32;",
    "fn dbg_record(call: u32, i: u32, value: vec4u) {",
    `  if (!(${isChosen.join(" || ")})) { return; }`,
    "  let at = atomicAdd(&dbg_log[0], 1u) + 1u;",
    `  if (at > ${MOST}u) { return; }`,
    ...["call", "dbg_workgroup", "dbg_thread", "i", "value.x", "value.y", "value.z", "value.w"].map(
      (word, k) => `  atomicStore(&dbg_log[at * ${WORDS}u + ${k}u], ${word});`,
    ),
    "}",
    ...types.map((type, k) => {
      const width = widthOf(type);
      const bits = type === "bool" ? "u32(value)" : `bitcast<${width === 1 ? "u32" : `vec${width}u`}>(value)`;
      const words = width === 4 ? bits : `vec4u(${[bits, ...Array<string>(4 - width).fill("0u")].join(", ")})`;
      return `fn dbg_call_${k}(i: u32, value: ${type}) { dbg_record(${k}u, i, ${words}); }`;
    }),
  ].join("\n");
}

function rowsOf(words: Uint32Array, calls: readonly Call[], types: readonly Type[]): Pick<Seen, "rows" | "left"> {
  const total = words[0]!;
  const rows = Array.from({ length: Math.min(total, MOST) }, (_, k): SeenRow => {
    const [call, workgroup, thread, i, ...bits] = words.slice(WORDS * (k + 1), WORDS * (k + 2)) as unknown as [
      number,
      number,
      number,
      number,
      ...number[],
    ];
    const type = types[call]!;
    const value = bits.slice(0, widthOf(type)).map((word) => asType(type, word));
    return { line: calls[call]!.line, workgroup, thread, i, value };
  });
  // The log has each thread's calls in their order; sorting keeps it.
  return { rows: rows.sort((a, b) => a.workgroup - b.workgroup || a.thread - b.thread), left: Math.max(0, total - MOST) };
}

function asType(type: Type, word: number): number | boolean {
  if (type === "bool") return word !== 0;
  if (type.endsWith("f") || type === "f32") return new Float32Array(Uint32Array.of(word).buffer)[0]!;
  return type.endsWith("i") || type === "i32" ? word | 0 : word;
}
