/** Bytes of weights files: an array, or a file too large for one, of which parts are read when they are asked for. */

/** A `Uint8Array` is one. */
export interface FileBytes {
  readonly length: number;
  /** The bytes from `begin` to `end`: a view of an array, or read from the file. */
  subarray(begin: number, end: number): Uint8Array;
}

/** The part from `begin` to `end`; nothing of a file is read yet. */
export function partOf(bytes: FileBytes, begin: number, end: number): FileBytes {
  if (bytes instanceof Uint8Array) return bytes.subarray(begin, end);
  return { length: end - begin, subarray: (from, to) => bytes.subarray(begin + from, Math.min(begin + to, end)) };
}

/** All of `bytes` as an array. */
export const wholeOf = (bytes: FileBytes): Uint8Array => (bytes instanceof Uint8Array ? bytes : bytes.subarray(0, bytes.length));

/** The bytes from `begin` to `end`, fewer where there are no more, to read numbers from. */
export function viewOf(bytes: FileBytes, begin = 0, end = bytes.length): DataView {
  const part = bytes.subarray(begin, end);
  return new DataView(part.buffer, part.byteOffset, part.byteLength);
}
