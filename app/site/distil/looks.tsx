/** Shows the student's answers and attention on the same twelve test pictures whenever a run pauses or ends. */
import type { Look } from "./messages.ts";

const SIDE = 96;

function draw(canvas: HTMLCanvasElement | null, { pixels, side, attention, grid }: Look): void {
  const context = canvas?.getContext("2d");
  if (!context) return;
  const picture = new OffscreenCanvas(side, side);
  picture.getContext("2d")!.putImageData(new ImageData(pixels, side, side), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, SIDE, SIDE);
  const most = Math.max(...attention);
  const map = new ImageData(grid, grid);
  attention.forEach((weight, i) => map.data.set([255, 190, 60, Math.round(170 * (weight / most))], 4 * i));
  const overlay = new OffscreenCanvas(grid, grid);
  overlay.getContext("2d")!.putImageData(map, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(overlay, 0, 0, SIDE, SIDE);
}

export function Looks({ looks }: { readonly looks: readonly Look[] }) {
  return (
    <section class="card" style="margin-top: 1rem" aria-label="Pictures as the student learns">
      <h2>The same pictures, each time a run ends or pauses</h2>
      <p class="note">Lighter: where the class token looks. Below: what the student says, and what the teacher says where that differs.</p>
      <ul style="display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 0.6rem; list-style: none; padding: 0; margin: 0">
        {looks.map((one, i) => (
          <li key={i}>
            <canvas width={SIDE} height={SIDE} style="border-radius: 6px" role="img" aria-label={`${one.label}; the student says ${one.answer}`} ref={(canvas) => draw(canvas, one)} />
            <div class={one.answer === one.label ? "" : "error"} style="border: 0; padding: 0">{one.answer} {(100 * one.probability).toFixed(0)} %</div>
            {one.teacher !== one.answer && <div class="note">teacher: {one.teacher}</div>}
          </li>
        ))}
      </ul>
    </section>
  );
}
