/** Each planted fault is named, with the case and the element, by what the command and the page run. The list goes into RESULTS.md. */
import { expect, test } from "vitest";
import { opNamed } from "../../checks/catalog.ts";
import { checkCase, uses, type CaseVerdict } from "../../jobs/lab/check.ts";
import { editsIn } from "../../jobs/lab/module.ts";
import { listCases, type Listed } from "../../jobs/lab/modules.ts";
import { PLANTED } from "../lab/faults.ts";

const lists = new Map<string, readonly Listed[]>();

/** The case and what it names, of the first case that is wrong. */
async function named(planted: (typeof PLANTED)[string], [from, to]: readonly [string, string]): Promise<string | null> {
  const op = opNamed(planted.op);
  const listed = lists.get(planted.op) ?? (await listCases(op));
  lists.set(planted.op, listed);
  const modules = listed.filter(({ test }) => test.name.includes(planted.by)).flatMap((one) => one.modules);
  const base = modules.find(({ label, code }) => label === planted.module && code.includes(from));
  if (!base) throw new Error(`expected a module ${planted.module} with ${from}, got ${modules.map((m) => m.label).join(", ")}`);
  const edits = editsIn(base.code.replace(from, to), modules);
  expect(edits[0].shipped.label).toBe(planted.module);
  for (const one of listed.filter((l) => uses(edits, l))) {
    const verdict = await checkCase(op, edits, one);
    if (!verdict.ok) return `${one.test.name}: ${whatIn(verdict)}`;
  }
  return null;
}

function whatIn({ values, gradients = {}, faults }: CaseVerdict): string {
  const wrong = Object.entries({ y: values, ...Object.fromEntries(Object.entries(gradients).map(([k, f]) => [`d${k}`, f])) });
  return [...faults, ...wrong.flatMap(([what, f]) => (f && !f.ok ? [`${what}[${f.at}]: expected ${f.expected}, got ${f.got}`] : []))].join(
    "; ",
  );
}

for (const [kernel, planted] of Object.entries(PLANTED))
  for (const [fault, change] of Object.entries(planted.faults))
    test(`${kernel}: ${fault}`, async () => {
      const what = await named(planted, change);
      console.log(`| ${kernel} | ${fault} | ${what} |`);
      expect(what).toMatch(/\[\d+\]|element \d+/);
    });
