/** What a schema found wrong, in the words of all other errors: what was expected, and what came. */
import type * as z from "zod/mini";
import { quote, shown, shownValue } from "./shown.ts";

/** zod's names of types, in words. */
const TYPES: Readonly<Record<string, string>> = {
  array: "a list",
  boolean: "true or false",
  int: "an integer",
  never: "nothing",
  number: "a number",
  object: "an object",
  record: "an object",
  string: "text",
  tuple: "a list",
};

/** `expected …` of one fault. */
export function expectation(issue: z.core.$ZodIssue): string {
  if (issue.message.startsWith("expected ")) return issue.message; // the schema's own words
  if (issue.code === "invalid_type") return `expected ${TYPES[issue.expected] ?? issue.expected}`;
  if (issue.code === "invalid_value") return `expected ${issue.values.length > 1 ? "one of " : ""}${issue.values.join(", ")}`;
  if (issue.code === "too_small") return `expected ${counted(issue.origin)}${issue.inclusive ? "of at least" : "above"} ${issue.minimum}`;
  if (issue.code === "too_big") return `expected ${counted(issue.origin)}${issue.inclusive ? "of at most" : "below"} ${issue.maximum}`;
  if (issue.code === "unrecognized_keys") return "expected no other names";
  return `expected another value (${issue.message})`;
}

const counted = (origin: string): string => (origin === "number" || origin === "int" ? "a number " : "a length ");

/** `where: expected …, got …` of the first fault in `value`, which is called `whole` itself. */
export function schemaFault({ issues }: z.core.$ZodError, value: unknown, whole: string): string {
  const issue = issues[0]!;
  const got = issue.path.reduce<unknown>(
    (inside, key) => (inside as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key],
    value,
  );
  const came = issue.code === "unrecognized_keys" ? issue.keys.map(quote).join(", ") : got === undefined ? "none" : shownValue(got);
  return `${shown(issue.path.join(".")) || whole}: ${expectation(issue)}, got ${came}`;
}
