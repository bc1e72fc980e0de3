/** What takes longer than a pause, on request: the text at all sizes, and in a training step. */
import type { ShapeTime } from "../../../jobs/lab/shapes.ts";
import { ShapesView } from "./shapes-view.tsx";

interface MoreProps {
  /** Whether the text that is shown is known to be right. */
  readonly ready: boolean;
  readonly shapes: readonly ShapeTime[];
  readonly onShapes: () => void;
  readonly onStep: () => void;
}

export function More({ ready, shapes, onShapes, onStep }: MoreProps) {
  return (
    <>
      <p class="row">
        <button type="button" disabled={!ready} onClick={onShapes}>At all sizes</button>
        <button type="button" disabled={!ready} onClick={onStep}>In a training step</button>
      </p>
      {shapes.length > 0 && <ShapesView shapes={shapes} />}
    </>
  );
}
