/** Finds repeated keys in JSON, of which `JSON.parse` silently keeps the last. */

/**
 * The first repeated key of valid JSON text, or null. Only strings and brackets need to be seen; a string is a key where a colon follows.
 * A loop and not a regular expression: those run out of stack on a string of many megabytes.
 */
export function repeatedKey(text: string): string | null {
  const open: Set<string>[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "{" || c === "[") open.push(new Set());
    else if (c === "}" || c === "]") open.pop();
    else if (c === '"') {
      const end = stringEnd(text, i);
      if (isColon(text, end + 1)) {
        const key = JSON.parse(text.slice(i, end + 1)) as string; // "a" and "\u0061" are one key
        const keys = open[open.length - 1]!;
        if (keys.has(key)) return key;
        keys.add(key);
      }
      i = end;
    }
  }
  return null;
}

/** Index of the quote that closes the string opened at `at`. */
export function stringEnd(text: string, at: number): number {
  let i = at + 1;
  while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i;
}

/** Whether the next character that is no white space is a colon. */
export function isColon(text: string, at: number): boolean {
  while (" \t\n\r".includes(text[at] ?? ":")) at++;
  return text[at] === ":";
}
