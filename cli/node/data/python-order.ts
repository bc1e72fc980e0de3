/** Names in the order of Python's `sorted`, which numbers classes and images in torchvision: by code point, not by JavaScript's UTF-16 units. */

/** Negative where `a` comes first. */
export function byCodePoint(a: string, b: string): number {
  for (let i = 0; ; ) {
    const [x, y] = [a.codePointAt(i), b.codePointAt(i)];
    if (x === undefined || y === undefined) return (x === undefined ? 0 : 1) - (y === undefined ? 0 : 1);
    if (x !== y) return x - y;
    i += x > 0xffff ? 2 : 1;
  }
}
