/** A frame of its own for what measures: removing it frees the engine's device and the rivals' too, whatever they are doing. */
import type { Frame } from "./frame.ts";

export interface OpenFrame {
  readonly frame: Frame;
  /** Rejects once `signal` aborts. */
  readonly cancelled: Promise<never>;
  close(): void;
}

/** Rejects if `signal` aborts while it loads. */
export async function openFrame(signal: AbortSignal): Promise<OpenFrame> {
  const element = document.createElement("iframe");
  element.title = "measuring";
  element.className = "measuring";
  element.src = new URL("frame.html", document.baseURI).href;
  const cancelled = new Promise<never>((_, reject) => signal.addEventListener("abort", reject, { once: true }));
  cancelled.catch(() => undefined); // whoever races it hears of it
  const close = () => element.remove();
  try {
    const loaded = new Promise((resolve) => (element.onload = resolve));
    document.body.append(element);
    await Promise.race([loaded, cancelled]);
  } catch (error) {
    close();
    throw error;
  }
  return { frame: element.contentWindow as Window & Frame, cancelled, close };
}

/** What a result says of this browser. */
export const browser = (): { readonly userAgent: string; readonly isolated: boolean; readonly cores: number } => ({
  userAgent: navigator.userAgent,
  isolated: crossOriginIsolated,
  cores: navigator.hardwareConcurrency,
});
