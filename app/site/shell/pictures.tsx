/** Collects pictures from the visitor: files, folders, drag and drop, the clipboard. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

const isPicture = (file: File): boolean => file.type.startsWith("image/") || /\.(jpe?g|png|webp|avif|gif|bmp|heic|heif)$/i.test(file.name);

/** Every file under what was dropped, folders included. */
async function filesOf(data: DataTransfer): Promise<File[]> {
  const found: File[] = [];
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      found.push(await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail)));
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      const batch = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail)); // at most 100 at a time
      if (batch.length === 0) return;
      for (const one of batch) await walk(one);
    }
  };
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null && entry !== undefined);
  if (entries.length === 0) return [...data.files];
  for (const entry of entries) await walk(entry);
  return found;
}

interface DropProps {
  readonly label: string;
  readonly onFiles: (pictures: readonly File[], others: number) => void;
  /** Pictures pasted anywhere on the page come here too. */
  readonly paste?: boolean;
  readonly children?: ComponentChildren;
}

/** A drop area with buttons for files and folders. `others` counts the files that are not pictures. */
export function Drop({ label, onFiles, paste = false, children }: DropProps) {
  const [over, setOver] = useState(false);
  const give = (files: readonly File[]): void => {
    const pictures = files.filter(isPicture);
    if (files.length > 0) onFiles(pictures, files.length - pictures.length);
  };
  useEffect(() => {
    if (!paste) return;
    const pasted = (event: ClipboardEvent): void => give([...(event.clipboardData?.files ?? [])]);
    document.addEventListener("paste", pasted);
    return () => document.removeEventListener("paste", pasted);
  });
  return (
    <div
      class={`drop${over ? " over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        if (event.dataTransfer) void filesOf(event.dataTransfer).then(give);
      }}
    >
      <p>{label}</p>
      <div class="row" style="justify-content: center">
        <label class="button">
          Pictures
          <input type="file" accept="image/*" multiple hidden onChange={({ currentTarget }) => give([...(currentTarget.files ?? [])])} />
        </label>
        <label class="button">
          A folder
          <input type="file" multiple hidden ref={(input) => input?.setAttribute("webkitdirectory", "")} onChange={({ currentTarget }) => give([...(currentTarget.files ?? [])])} />
        </label>
        {children}
      </div>
    </div>
  );
}
