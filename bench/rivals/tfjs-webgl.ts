/** TensorFlow.js on WebGL: the browser's other way to the same GPU. */
import * as tf from "@tensorflow/tfjs-core";
import type { MathBackendWebGL } from "@tensorflow/tfjs-backend-webgl";
import "@tensorflow/tfjs-backend-webgl";
import type { Contender } from "../contender.ts";
import { contender } from "./tfjs.ts";

export default async function start(): Promise<Contender> {
  if (typeof document === "undefined") throw new Error("tfjs-webgl: expected a page with WebGL, got none");
  // Reading one number waits for all that was drawn before.
  const idle = async (latest: tf.Tensor): Promise<void> => {
    const one = tf.tidy(() => tf.slice(tf.reshape(latest, [-1]), [0], [1]));
    await one.data();
    one.dispose();
  };
  const made = await contender("tfjs-webgl", "webgl", idle, {});
  const { gl } = (tf.backend() as MathBackendWebGL).gpgpu;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  return { ...made, flags: { ...made.flags, renderer: gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER) as string } };
}
