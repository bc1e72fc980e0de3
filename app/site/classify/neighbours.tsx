/** Pictures beside each other by their features: the nearest ones by cosine, and all on a plane by their two principal components. */
import { useEffect, useRef } from "preact/hooks";
import type { Item } from "./page.tsx";
import { Thumb } from "./page.tsx";
import { cosine, principalPlane } from "./geometry.ts";

interface Props {
  readonly items: readonly Item[];
  readonly onChoose: (id: number) => void;
}

const NEAREST = 6;

export function Nearest({ item, items, onChoose }: Props & { readonly item: Item }) {
  const { features } = item;
  if (!features) return null;
  const near = items
    .flatMap((other) => (other.id !== item.id && other.features ? [{ other, likeness: cosine(features, other.features) }] : []))
    .sort((a, b) => b.likeness - a.likeness)
    .slice(0, NEAREST);
  if (near.length === 0) return null;
  return (
    <>
      <h2 style="margin-top: 1rem">Nearest of your pictures</h2>
      <ul class="thumbs">
        {near.map(({ other, likeness }) => (
          <li key={other.id}>
            <button type="button" class="plain" style="position: static; padding: 0; border: 0" title={`${other.name}, cosine ${likeness.toFixed(3)}`} onClick={() => onChoose(other.id)}>
              <Thumb bitmap={other.shown} name={other.name} />
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

export function FeatureMap({ items, chosen, onChoose }: Props & { readonly chosen: number | null }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const placed = useRef<readonly { readonly id: number; readonly x: number; readonly y: number }[]>([]);
  const known = items.filter(({ features }) => features);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !canvas.current) return;
    const { width, height } = canvas.current;
    const thumb = 40;
    const plane = principalPlane(known.map(({ features }) => features!));
    placed.current = known.map(({ id }, i) => ({ id, x: plane[i]![0] * (width - thumb), y: plane[i]![1] * (height - thumb) }));
    context.clearRect(0, 0, width, height);
    for (const [i, { shown, id }] of known.entries()) {
      const { x, y } = placed.current[i]!;
      const side = Math.min(shown.width, shown.height);
      context.drawImage(shown, (shown.width - side) / 2, (shown.height - side) / 2, side, side, x, y, thumb, thumb);
      if (id === chosen) {
        context.strokeStyle = "#f2b35e";
        context.lineWidth = 3;
        context.strokeRect(x, y, thumb, thumb);
      }
    }
  }, [items, chosen]);
  const choose = ({ offsetX, offsetY }: MouseEvent): void => {
    const { current } = canvas;
    if (!current) return;
    const [x, y] = [(offsetX * current.width) / current.clientWidth, (offsetY * current.height) / current.clientHeight];
    const hit = [...placed.current].reverse().find((p) => x >= p.x && x <= p.x + 40 && y >= p.y && y <= p.y + 40);
    if (hit) onChoose(hit.id);
  };
  return (
    <section class="card" style="margin-top: 1rem" aria-label="Map of your pictures">
      <h2>Map of your pictures</h2>
      <p class="note">Pictures that the model finds alike lie close together (two principal components of its features).</p>
      <canvas ref={canvas} width={1000} height={420} style="width: 100%; height: auto" role="img" aria-label={`${known.length} pictures by likeness`} onClick={choose} />
    </section>
  );
}
