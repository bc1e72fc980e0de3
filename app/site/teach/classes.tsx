/** The classes with their pictures: named, coloured, filled by files, folders, the clipboard or the camera. */
import { useState } from "preact/hooks";
import { Camera } from "../shell/camera.tsx";
import { Drop } from "../shell/pictures.tsx";
import type { ClassInfo, Picture } from "./project.ts";
import { BlobImage } from "./result.tsx";

interface Props {
  readonly classes: readonly ClassInfo[];
  readonly pictures: readonly Picture[];
  /** What went wrong by class id. */
  readonly faults: Readonly<Record<string, string>>;
  readonly onRename: (id: string, name: string) => void;
  readonly onRemove: (id: string) => void;
  readonly onFiles: (id: string, files: readonly File[], others: number) => void;
  readonly onFrame: (id: string, video: HTMLVideoElement) => Promise<void>;
  readonly onDelete: (picture: Picture) => void;
}

const SHOWN = 24;

export function Classes(props: Props) {
  return (
    <div class="grid">
      {props.classes.map((one) => (
        <ClassCard key={one.id} {...props} one={one} own={props.pictures.filter(({ classId }) => classId === one.id)} />
      ))}
    </div>
  );
}

function ClassCard({ one, own, classes, faults, onRename, onRemove, onFiles, onFrame, onDelete }: Props & { readonly one: ClassInfo; readonly own: readonly Picture[] }) {
  const [camera, setCamera] = useState(false);
  const twin = classes.some(({ id, name }) => id !== one.id && name.trim() === one.name.trim());
  return (
    <section class="card" aria-label={`Class ${one.name}`} data-class={one.name}>
      <div class="row spread">
        <label style="flex: 1; min-width: 0">
          <span class="swatch" style={{ background: one.colour }} />
          <input type="text" aria-label="Name of the class" value={one.name} onInput={({ currentTarget }) => onRename(one.id, currentTarget.value)} style="flex: 1; min-width: 0" />
        </label>
        <button type="button" class="plain" onClick={() => onRemove(one.id)} aria-label={`Remove the class ${one.name}`}>Remove</button>
      </div>
      {twin && <p class="error" role="alert">Two classes have this name. Give each its own.</p>}
      <p class="note" data-count={own.length}>{own.length} {own.length === 1 ? "picture" : "pictures"}</p>
      {camera ? (
        <Camera action="Hold to record" onFrame={(video) => onFrame(one.id, video)} onClose={() => setCamera(false)} />
      ) : (
        <Drop label={`Drop pictures of “${one.name}” here`} onFiles={(files, others) => onFiles(one.id, files, others)}>
          <button type="button" onClick={() => setCamera(true)}>Camera</button>
        </Drop>
      )}
      {faults[one.id] && <p class="error" role="alert">{faults[one.id]}</p>}
      <ul class="thumbs">
        {own.slice(-SHOWN).map((picture) => (
          <li key={picture.id}>
            <BlobImage blob={picture.blob} alt={picture.name} />
            <button type="button" onClick={() => onDelete(picture)} aria-label={`Delete ${picture.name}`}>×</button>
          </li>
        ))}
      </ul>
      {own.length > SHOWN && <p class="note">and {own.length - SHOWN} more</p>}
    </section>
  );
}
