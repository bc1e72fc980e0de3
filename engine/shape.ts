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
