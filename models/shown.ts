/** Escapes text from files for messages, so that a terminal does not act on control characters. */

/** Control characters (C0, DEL, C1), line separators, halves of a character, and marks that reorder the text around them. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Surrogate}\u202a-\u202e\u2066-\u2069]/gu;

/** `text` on one line, with every character that a terminal would act on as `\u001b`. */
export const shown = (text: string): string => text.replace(CONTROL, (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, "0")}`);

/** `text` in double quotes, on one line and at most 80 characters of it. */
export const quote = (text: string): string => shown(JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text));

/** A value of parsed JSON on one line, shallowly: a hostile one may be nested a million deep, where JSON.stringify fails. */
export function shownValue(value: unknown): string {
  if (Array.isArray(value)) {
    const items = value.slice(0, 8).map((item) => (Array.isArray(item) ? "a list" : shownValue(item)));
    return `[${items.join(",")}${value.length > 8 ? ",…" : ""}]`;
  }
  if (typeof value === "string") return quote(value);
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
