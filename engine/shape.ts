/** Arithmetic on shapes. Nothing here touches a GPU. */

export type Shape = readonly number[];

export const numel = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

export const show = (shape: Shape): string => `[${shape.join(",")}]`;

/** Throws unless every dimension is a positive integer: there are no empty tensors. */
export function checkShape(what: string, shape: Shape): void {
  if (!Array.isArray(shape)) throw new Error(`${what}: expected a shape such as [2,3], got ${JSON.stringify(shape)}`);
  if (!shape.every((d) => Number.isInteger(d) && d > 0)) {
    throw new Error(`${what}: expected a shape of positive integers, got ${show(shape)}`);
  }
}

/** Row-major strides in elements. */
export function strides(shape: Shape): number[] {
  const s = new Array<number>(shape.length);
  for (let i = shape.length - 1, n = 1; i >= 0; i--) {
    s[i] = n;
    n *= shape[i]!;
  }
  return s;
}

/** An element's index in each axis, from its place in row-major order. */
export function indexIn(shape: Shape, flat: number): number[] {
  const index: number[] = [];
  let rest = flat;
  for (const size of [...shape].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}
