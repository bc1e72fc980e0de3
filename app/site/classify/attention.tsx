/** A picture with the model's attention over it: by rollout through all blocks, or of one block and head; from the class or the distillation token. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Opened } from "../shell/model-picker.tsx";
import { messageOf } from "../shell/message.ts";
import type { Item } from "./page.tsx";

type Attended = Awaited<ReturnType<Opened["model"]["attention"]>>;

/** The colour of a share of the largest weight: transparent, then from blue over orange to pale. */
function colour(share: number): readonly [number, number, number, number] {
  const t = Math.min(1, Math.max(0, share));
  return [Math.round(255 * Math.min(1, 1.6 * t)), Math.round(200 * t * t + 40 * t), Math.round(150 * (1 - t)), Math.round(200 * Math.sqrt(t))];
}

/** Draws the weights, smoothly, over the part of the picture that the model saw. */
function draw(canvas: HTMLCanvasElement, picture: ImageBitmap, attended: Attended | null): void {
  const context = canvas.getContext("2d")!;
  canvas.width = picture.width;
  canvas.height = picture.height;
  context.drawImage(picture, 0, 0);
  if (!attended) return;
  const { side, weights, area } = attended;
  const most = Math.max(...weights);
  const grid = new OffscreenCanvas(side, side);
  const pixels = new ImageData(side, side);
  weights.forEach((weight, i) => pixels.data.set(colour(weight / most), 4 * i));
  grid.getContext("2d")!.putImageData(pixels, 0, 0);
  context.imageSmoothingQuality = "high";
  const { width: W, height: H } = picture;
  context.drawImage(grid, area.x * W, area.y * H, area.width * W, area.height * H);
}

export function Attention({ item, opened }: { readonly item: Item; readonly opened: Opened | null }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [token, setToken] = useState<"class" | "distillation">("class");
  const [block, setBlock] = useState<number | null>(null);
  const [head, setHead] = useState(0);
  const [shown, setShown] = useState(true);
  const [fault, setFault] = useState("");
  const config = opened?.model.config;
  const attends = config?.arch === "deit";

  useEffect(() => {
    if (!canvas.current) return;
    draw(canvas.current, item.shown, null);
    if (!attends || !shown || !opened) return;
    let stale = false;
    opened.model
      .attention(item.file, block === null ? { token } : { token, block, head })
      .then((attended) => {
        if (!stale && canvas.current) draw(canvas.current, item.shown, attended);
        setFault("");
      })
      .catch((error: unknown) => !stale && setFault(messageOf(error)));
    return () => void (stale = true);
  }, [item.id, opened, token, block, head, shown, attends]);

  return (
    <>
      <div class="stage">
        <canvas ref={canvas} role="img" aria-label={`${item.name}${attends && shown ? ", with the model's attention" : ""}`} />
      </div>
      {attends && config.arch === "deit" && (
        <div class="row" style="margin-top: 0.6rem">
          <label>
            <input type="checkbox" checked={shown} onChange={({ currentTarget }) => setShown(currentTarget.checked)} /> attention
          </label>
          {config.distilled && (
            <label>
              from
              <select value={token} onChange={({ currentTarget }) => setToken(currentTarget.value as typeof token)}>
                <option value="class">class token</option>
                <option value="distillation">distillation token</option>
              </select>
            </label>
          )}
          <label>
            of
            <select value={block ?? "all"} onChange={({ currentTarget: { value } }) => setBlock(value === "all" ? null : Number(value))}>
              <option value="all">all blocks (rollout)</option>
              {Array.from({ length: config.depth }, (_, i) => (
                <option key={i} value={i}>block {i + 1}</option>
              ))}
            </select>
          </label>
          {block !== null && (
            <label>
              head
              <select value={head} onChange={({ currentTarget }) => setHead(Number(currentTarget.value))}>
                {Array.from({ length: config.heads }, (_, i) => (
                  <option key={i} value={i}>{i + 1}</option>
                ))}
              </select>
            </label>
          )}
        </div>
      )}
      {opened && !attends && <p class="note">A convolutional network has no attention to show.</p>}
      {fault && <p class="error" role="alert">{fault}</p>}
    </>
  );
}
