/**
 * A reference that somebody typed, run in an interpreter of its own (QuickJS in WebAssembly): text that came with a link can reach neither
 * this page, nor what the browser keeps for it, nor the network.
 */
import variant from "@jitl/quickjs-wasmfile-release-sync";
import {
  newQuickJSWASMModuleFromVariant,
  type QuickJSContext,
  type QuickJSHandle,
  shouldInterruptAfterDeadline,
} from "quickjs-emscripten-core";
import type { Reference } from "../../../jobs/lab/draft.ts";
import { type Draft, parse } from "../../../jobs/lab/draft-text.ts";

/** Of one call. */
const LIMIT_MS = 10_000;

let made: ReturnType<typeof newQuickJSWASMModuleFromVariant> | null = null;
let endLast = (): void => undefined;

/** The function of the draft's reference; that of the draft before ends. Throws where its text is not JavaScript. */
export async function makeReference(draft: Draft): Promise<Reference> {
  const { inputs, letters, attrs, output } = parse(draft);
  const quickjs = await (made ??= newQuickJSWASMModuleFromVariant(variant));
  endLast();
  const vm = quickjs.newContext();
  const kept: QuickJSHandle[] = [];
  endLast = () => {
    for (const handle of kept) handle.dispose();
    vm.dispose();
    endLast = () => undefined;
  };
  // The body begins on line 2.
  const code = `(function (${inputs.map(({ name }) => name).join(", ")}, { ${["rows", ...letters, ...Object.keys(attrs)].join(", ")} }) {
${draft.reference}
})`;
  const reference = unwrapped(vm, vm.evalCode(code));
  kept.push(reference);
  const call = unwrapped(
    vm,
    vm.evalCode(`(reference, numbers, ...buffers) => {
      const y = reference(...buffers.map((b) => new Float64Array(b)), JSON.parse(numbers));
      if (!Array.isArray(y) && !ArrayBuffer.isView(y)) throw new Error("expected it to return the values of ${output.name}, got " + typeof y);
      return Float64Array.from(y).buffer;
    }`),
  );
  kept.push(call);
  return (values, numbers) => {
    vm.runtime.setInterruptHandler(shouldInterruptAfterDeadline(Date.now() + LIMIT_MS));
    const given = [vm.newString(JSON.stringify(numbers)), ...values.map((v) => vm.newArrayBuffer(v.slice().buffer))];
    const result = vm.callFunction(call, vm.undefined, reference, ...given);
    for (const handle of given) handle.dispose();
    const y = unwrapped(vm, result);
    const bytes = vm.getArrayBuffer(y);
    const copy = new Float64Array(bytes.value.slice().buffer);
    bytes.dispose();
    y.dispose();
    return copy;
  };
}

type Result = ReturnType<QuickJSContext["evalCode"]>;

function unwrapped(vm: QuickJSContext, result: Result): QuickJSHandle {
  if (!result.error) return result.value;
  const { name, message, stack } = vm.dump(result.error) as { name?: string; message?: string; stack?: string };
  result.error.dispose();
  if (/interrupted/.test(message ?? "")) throw new Error(`reference: expected it to end within ${LIMIT_MS / 1000} s, got no end`);
  const line = /:(\d+)/.exec(stack ?? "")?.[1];
  throw new Error(`reference: ${line === undefined ? "" : `line ${Number(line) - 1}: `}${name ?? "error"}: ${message ?? "unknown"}`);
}
