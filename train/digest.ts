/** A checksum of tensors: of a teacher, by which a run knows it again, and of a checkpoint, by which damage is seen. */
import type { State } from "../models/params.ts";

const sha256 = async (bytes: Uint8Array): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/**
 * SHA-256, in hex, of names, shapes and values, whatever their order, and of `head`. The tensors are hashed one after another, off this
 * thread; then their sums are.
 */
export async function digestState(state: State, head: unknown = null): Promise<string> {
  const sums = [await sha256(text(head))];
  for (const name of [...state.keys()].sort()) {
    const { shape, data } = state.get(name)!;
    sums.push(await sha256(text([name, shape])), await sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));
  }
  const all = new Uint8Array(32 * sums.length);
  sums.forEach((sum, i) => all.set(sum, 32 * i));
  return [...(await sha256(all))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
