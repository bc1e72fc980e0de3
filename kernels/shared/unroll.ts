/** Unrolled WGSL: text repeated with a number. */

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** `text(0)` to `text(n - 1)`, on one line unless another separator is given. */
export const unroll = (n: number, text: (i: number) => string, by = " "): string => range(n).map(text).join(by);

/** The same, each on a line of its own. */
export const unrollLines = (n: number, text: (i: number) => string): string => unroll(n, text, "\n      ");
