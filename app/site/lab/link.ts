/** The lab's state as a link; and the address that opens it with an operation and a shape. */
import * as link from "../shell/link.ts";

export interface Shared {
  readonly op: string;
  /** The kernel's name in the list, and the shipped text that was edited. */
  readonly kernel: string;
  readonly shipped: string;
  readonly code: string;
}

const VERSION = "1";

export const toHash = (state: Shared): string => link.toHash("lab", VERSION, state);

/** Puts the state into the address, and onto the clipboard where the browser allows it; says where it is. */
export async function share(state: Shared): Promise<string> {
  history.replaceState(null, "", toHash(state));
  return navigator.clipboard?.writeText(location.href).then(
    () => "the link is in the address bar and on the clipboard",
    () => "the link is in the address bar",
  );
}

/** Throws, saying why, where a link is cut, damaged or another version's. */
export const fromHash = (hash: string): Shared => link.fromHash("lab", VERSION, hash) as Shared;

/** An operation at one size, "12x197x197", as another page asks for it. */
export interface Shape {
  readonly op: string;
  readonly sizes: string;
}

export const shapeHash = ({ op, sizes }: Shape): string => `#op=${op}&sizes=${sizes}`;

/** Null where the hash is something else. */
export function shapeOf(hash: string): Shape | null {
  const [, op, sizes] = /^#op=(\w+)&sizes=(\d+(?:x\d+)*)$/.exec(hash) ?? [];
  return op && sizes ? { op, sizes } : null;
}

/** An address that opens a challenge: "#challenge=softmax". */
export const challengeHash = (name: string): string => `#challenge=${name}`;

/** The challenge's name, or undefined where the hash is something else. */
export const challengeOf = (hash: string): string | undefined => /^#challenge=([\w-]+)$/.exec(hash)?.[1];
