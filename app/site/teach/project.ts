/** The project of the page `teach`: classes and their pictures, kept in this browser (IndexedDB) until they are deleted. */
import { clear, createStore, del, entries, get, set } from "idb-keyval";

export interface ClassInfo {
  readonly id: string;
  readonly name: string;
  /** CSS colour. */
  readonly colour: string;
}

export interface Picture {
  readonly id: string;
  readonly classId: string;
  readonly name: string;
  /** The kept copy of the picture: JPEG, at most `SIDE` pixels a side. */
  readonly blob: Blob;
}

/** An unfinished or finished training, enough to go on with it after the page was closed. */
export interface RunRecord {
  readonly settings: RunSettings;
  readonly labels: readonly string[];
  /** Pictures by id, in the order they are given in. */
  readonly train: readonly string[];
  readonly validation: readonly string[];
  readonly finished: boolean;
}

export interface RunSettings {
  readonly train: "head" | "lora" | "attention" | "all";
  readonly epochs: number;
  readonly seed: number;
  /** `null`: the library's default for this `train` mode. */
  readonly learningRate: number | null;
}

/** Longest side of a kept picture, in pixels. */
export const SIDE = 320;

const pictures = createStore("tessera-teach-pictures", "pictures");
const facts = createStore("tessera-teach", "facts");

export const COLOURS = ["#3fa7a0", "#e4784d", "#5b7fd1", "#c9a227", "#a35bb8", "#4f9d4f", "#c2526b", "#7a8794"];

/** The picture at most `SIDE` pixels a side, as a JPEG. One is decoded at a time, so that a thousand large ones need the memory of one. */
export async function shrink(source: Blob | HTMLVideoElement): Promise<Blob> {
  const whole = await createImageBitmap(source);
  const share = Math.min(1, SIDE / Math.max(whole.width, whole.height));
  const [width, height] = [whole.width, whole.height].map((n) => Math.max(1, Math.round(n * share))) as [number, number];
  const small = share === 1 ? whole : await createImageBitmap(whole, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.drawImage(small, 0, 0);
  small.close();
  whole.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}

export const loadClasses = async (): Promise<ClassInfo[]> => (await get<ClassInfo[]>("classes", facts)) ?? [];
export const saveClasses = (classes: readonly ClassInfo[]): Promise<void> => set("classes", classes, facts);
export const loadPictures = async (): Promise<Picture[]> => (await entries<string, Picture>(pictures)).map(([, picture]) => picture);
export const savePicture = (picture: Picture): Promise<void> => set(picture.id, picture, pictures);
export const deletePicture = (id: string): Promise<void> => del(id, pictures);
export const loadRun = async (): Promise<RunRecord | null> => (await get<RunRecord>("run", facts)) ?? null;
export const saveRun = (run: RunRecord): Promise<void> => set("run", run, facts);

/** Deletes everything of this project except the models' files; the page deletes those through their stores. */
export async function deleteProject(): Promise<void> {
  await clear(pictures);
  await clear(facts);
}

/** Every fifth picture of each class is held back for measuring, chosen by a hash of its id: the same ones whatever is added later. */
export function split(
  all: readonly Picture[],
  classes: readonly ClassInfo[],
): { readonly train: Picture[]; readonly validation: Picture[] } {
  const train: Picture[] = [];
  const validation: Picture[] = [];
  for (const { id } of classes) {
    const own = all.filter(({ classId }) => classId === id).sort((a, b) => hash(a.id) - hash(b.id) || (a.id < b.id ? -1 : 1));
    const held = own.length < 3 ? 0 : Math.max(1, Math.floor(own.length / 5));
    validation.push(...own.slice(0, held));
    train.push(...own.slice(held));
  }
  return { train, validation };
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
