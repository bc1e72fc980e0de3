/** A project as a zip: `project.json`, the pictures by class, and the model where there is one. What is written opens again here. */
import { strToU8, strFromU8, unzip, zip } from "fflate";
import type { ClassInfo, Picture } from "./project.ts";

export interface Archive {
  readonly classes: readonly ClassInfo[];
  readonly pictures: readonly Picture[];
  /** Safetensors; `null` where nothing was trained. */
  readonly model: Uint8Array<ArrayBuffer> | null;
}

interface Manifest {
  readonly format: "tessera-teach";
  readonly version: 1;
  readonly classes: readonly ClassInfo[];
  readonly pictures: readonly { readonly id: string; readonly classId: string; readonly name: string; readonly file: string }[];
}

const MANIFEST = "project.json";
const MODEL = "model.safetensors";

export async function writeArchive({ classes, pictures, model }: Archive): Promise<Blob> {
  const files: Record<string, Uint8Array> = {};
  const listed: Manifest["pictures"][number][] = [];
  for (const { id, classId, name, blob } of pictures) {
    const file = `pictures/${classId}/${id}.jpg`;
    files[file] = new Uint8Array(await blob.arrayBuffer());
    listed.push({ id, classId, name, file });
  }
  const manifest: Manifest = { format: "tessera-teach", version: 1, classes, pictures: listed };
  files[MANIFEST] = strToU8(JSON.stringify(manifest, null, 1));
  if (model) files[MODEL] = model;
  const bytes = await new Promise<Uint8Array<ArrayBuffer>>((done, fail) =>
    zip(files, { level: 0 }, (error, data) => (error ? fail(error) : done(data as Uint8Array<ArrayBuffer>))),
  );
  return new Blob([bytes], { type: "application/zip" });
}

/** Throws an error that says what was expected if the file is not such a zip. Changes nothing: the caller replaces its project after success. */
export async function readArchive(file: Blob): Promise<Archive> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const files = await new Promise<Record<string, Uint8Array>>((done, fail) =>
    unzip(bytes, (error, data) =>
      error ? fail(new Error(`project: expected a zip that this page wrote, got ${error.message}`)) : done(data),
    ),
  );
  const text = files[MANIFEST];
  if (!text)
    throw new Error(
      `project: expected a zip with ${MANIFEST}, got one with ${Object.keys(files).slice(0, 3).join(", ") || "nothing in it"}`,
    );
  const manifest = parse(strFromU8(text));
  const pictures = manifest.pictures.map(({ id, classId, name, file: path }) => {
    const data = files[path];
    if (!data) throw new Error(`project: expected ${path}, which ${MANIFEST} names, got a zip without it`);
    return { id, classId, name, blob: new Blob([data as Uint8Array<ArrayBuffer>], { type: "image/jpeg" }) };
  });
  return { classes: manifest.classes, pictures, model: (files[MODEL] as Uint8Array<ArrayBuffer> | undefined) ?? null };
}

const isText = (value: unknown): value is string => typeof value === "string" && value.length > 0 && value.length < 200;

function parse(text: string): Manifest {
  let value: Partial<Manifest>;
  try {
    value = JSON.parse(text) as Partial<Manifest>;
  } catch {
    throw new Error(`project: expected JSON in ${MANIFEST}, got something else`);
  }
  if (value.format !== "tessera-teach" || value.version !== 1)
    throw new Error(`project: expected a project of version 1, got ${String(value.format)} ${String(value.version)}`);
  const classes = Array.isArray(value.classes) ? value.classes : [];
  const pictures = Array.isArray(value.pictures) ? value.pictures : [];
  const known = new Set(classes.map(({ id }) => id));
  if (!classes.every(({ id, name, colour }) => isText(id) && typeof name === "string" && /^#[0-9a-f]{6}$/i.test(colour)))
    throw new Error("project: expected classes with id, name and colour, got others");
  if (!pictures.every(({ id, classId, name, file }) => isText(id) && known.has(classId) && typeof name === "string" && isText(file))) {
    throw new Error("project: expected every picture to belong to a class, got others");
  }
  return { format: "tessera-teach", version: 1, classes, pictures };
}
