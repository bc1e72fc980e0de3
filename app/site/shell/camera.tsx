/** The camera: a live picture, and frames of it while a button is held. */
import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "./message.ts";

interface CameraProps {
  /** Called with the live picture: once a frame while held, or once a press. */
  readonly onFrame: (video: HTMLVideoElement) => void | Promise<void>;
  readonly action: string;
  /** Frames a second while the button is held. */
  readonly rate?: number;
  readonly onClose: () => void;
}

export function Camera({ onFrame, action, rate = 5, onClose }: CameraProps) {
  const video = useRef<HTMLVideoElement>(null);
  const held = useRef(false);
  const [fault, setFault] = useState("");
  useEffect(() => {
    let stream: MediaStream | null = null;
    let closed = false;
    navigator.mediaDevices
      ?.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } }, audio: false })
      .then(async (opened) => {
        stream = opened;
        if (closed || !video.current) return opened.getTracks().forEach((track) => track.stop());
        video.current.srcObject = opened;
        await video.current.play();
      })
      .catch((error: unknown) => setFault(`The camera was refused or is in use (${messageOf(error)}). Allow it for this page, or add files instead.`));
    if (!navigator.mediaDevices) setFault("This page may not use the camera here: it must come over https or from localhost.");
    return () => {
      closed = true;
      for (const track of stream?.getTracks() ?? []) track.stop();
    };
  }, []);
  const hold = async (): Promise<void> => {
    if (held.current) return;
    held.current = true;
    while (held.current && video.current) {
      await onFrame(video.current);
      await new Promise((next) => setTimeout(next, 1000 / rate));
    }
  };
  const release = (): void => void (held.current = false);
  return (
    <div>
      <div class="stage" style="max-width: 320px; aspect-ratio: 4 / 3">
        <video ref={video} muted playsInline aria-label="The camera's picture" />
      </div>
      <div class="row" style="margin-top: 0.4rem">
        <button
          type="button"
          class="primary"
          disabled={fault !== ""}
          onPointerDown={() => void hold()}
          onPointerUp={release}
          onPointerLeave={release}
          onKeyDown={(event) => event.key === " " && !event.repeat && void hold()}
          onKeyUp={release}
        >
          {action}
        </button>
        <button type="button" onClick={onClose}>Close the camera</button>
      </div>
      {fault && <p class="error" role="alert">{fault}</p>}
    </div>
  );
}
