/** Pictures in, answers out: top five, attention over the picture, nearest pictures and a map of all by features. */
import { useRef, useState } from "preact/hooks";
import type { Prediction } from "../../../index.ts";
import { Camera } from "../shell/camera.tsx";
import { ModelPicker, type Opened } from "../shell/model-picker.tsx";
import { messageOf } from "../shell/message.ts";
import { mount } from "../shell/mount.tsx";
import { Drop } from "../shell/pictures.tsx";
import { Top } from "../shell/top.tsx";
import { Attention } from "./attention.tsx";
import { FeatureMap, Nearest } from "./neighbours.tsx";

export interface Item {
  readonly id: number;
  readonly name: string;
  /** At most 512 pixels a side: what is shown; answers are computed from the file. */
  readonly shown: ImageBitmap;
  readonly file: Blob;
  readonly answers: readonly Prediction[] | null;
  readonly features: Float32Array | null;
  readonly fault: string;
}

const SIDE = 512;

async function shownOf(file: Blob): Promise<ImageBitmap> {
  const whole = await createImageBitmap(file);
  const share = Math.min(1, SIDE / Math.max(whole.width, whole.height));
  if (share === 1) return whole;
  const shown = await createImageBitmap(whole, {
    resizeWidth: Math.max(1, Math.round(whole.width * share)),
    resizeHeight: Math.max(1, Math.round(whole.height * share)),
    resizeQuality: "high",
  });
  whole.close();
  return shown;
}

function Classify() {
  const [opened, setOpened] = useState<Opened | null>(null);
  const [items, setItems] = useState<readonly Item[]>([]);
  const [chosen, setChosen] = useState<number | null>(null);
  const [status, setStatus] = useState("");
  const [left, setLeft] = useState<readonly string[]>([]);
  const [camera, setCamera] = useState(false);
  const [live, setLive] = useState<readonly Prediction[]>([]);
  const next = useRef(0);
  const model = useRef<Opened | null>(null);

  const change = (id: number, values: Partial<Item>): void => setItems((all) => all.map((item) => (item.id === id ? { ...item, ...values } : item)));

  const answer = async (item: Item): Promise<void> => {
    const using = model.current;
    if (!using) return;
    try {
      const answers = using.model.labels.length > 0 ? await using.model.classify(item.file) : [];
      const features = await using.model.features(item.file);
      if (model.current === using) change(item.id, { answers, features: features as Float32Array, fault: "" });
    } catch (error) {
      change(item.id, { fault: messageOf(error) });
    }
  };

  const add = async (files: readonly File[], others: number): Promise<void> => {
    const faults = others > 0 ? [`${others} ${others === 1 ? "file is" : "files are"} no pictures and were left out`] : [];
    for (const [i, file] of files.entries()) {
      setStatus(`reading ${i + 1} of ${files.length}`);
      try {
        const item: Item = { id: next.current++, name: file.name, shown: await shownOf(file), file, answers: null, features: null, fault: "" };
        setItems((all) => [...all, item]);
        setChosen((before) => before ?? item.id);
        await answer(item);
      } catch {
        faults.push(`${file.name}: expected a picture that this browser can decode, got ${file.size === 0 ? "an empty file" : file.type || "something else"}`);
      }
    }
    setLeft(faults);
    setStatus("");
  };

  const open = async (found: Opened): Promise<void> => {
    model.current?.model.dispose();
    model.current = found;
    setOpened(found);
    for (const item of items) await answer({ ...item });
  };

  const item = items.find(({ id }) => id === chosen) ?? null;
  return (
    <>
      <ModelPicker opened={opened} onOpen={(found) => void open(found)} />
      <h2>Pictures</h2>
      {camera ? (
        <Camera
          action="Hold to classify"
          rate={8}
          onClose={() => setCamera(false)}
          onFrame={async (video) => {
            if (model.current) setLive(await model.current.model.classify(video).catch(() => []));
          }}
        />
      ) : (
        <Drop label="Drop pictures or a folder here, or paste one" paste onFiles={(files, others) => void add(files, others)}>
          <button type="button" onClick={() => setCamera(true)}>Camera</button>
        </Drop>
      )}
      {camera && live.length > 0 && <Top predictions={live} />}
      <p class="status" role="status">{status}</p>
      {left.length > 0 && (
        <div class="error" role="alert">
          <ul>
            {left.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
        </div>
      )}
      {items.length > 1 && (
        <ul class="thumbs" aria-label="Your pictures">
          {items.map((one) => (
            <li key={one.id}>
              <button type="button" class="plain" style="position: static; padding: 0; border: 0" aria-pressed={one.id === chosen} title={one.name} onClick={() => setChosen(one.id)}>
                <Thumb bitmap={one.shown} name={one.name} />
              </button>
            </li>
          ))}
        </ul>
      )}
      {item && (
        <div class="grid">
          <section class="card" aria-label="Picture and attention">
            <Attention item={item} opened={opened} />
          </section>
          <section class="card" aria-label="Answers">
            <h2>{item.name}</h2>
            {item.fault && <p class="error" role="alert">{item.fault}</p>}
            {!opened && <p class="note">Load a model to see its answers.</p>}
            {item.answers && item.answers.length > 0 && <Top predictions={item.answers} />}
            {item.answers?.length === 0 && <p class="note">This model has no head: it gives features, no labels.</p>}
            <Nearest item={item} items={items} onChoose={setChosen} />
          </section>
        </div>
      )}
      {items.filter(({ features }) => features).length >= 3 && <FeatureMap items={items} chosen={chosen} onChoose={setChosen} />}
    </>
  );
}

/** A bitmap as a small picture. */
export function Thumb({ bitmap, name }: { readonly bitmap: ImageBitmap; readonly name: string }) {
  return (
    <canvas
      role="img"
      aria-label={name}
      width={56}
      height={56}
      ref={(canvas) => {
        const context = canvas?.getContext("2d");
        if (!context) return;
        const side = Math.min(bitmap.width, bitmap.height);
        context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, 56, 56);
      }}
    />
  );
}

mount(Classify);
