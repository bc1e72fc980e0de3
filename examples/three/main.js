/** three.js's side: a scene is rendered into a texture, and the texture is drawn with the model's attention laid over it. */
import * as THREE from "three/webgpu";
import { float, int, mix, storage, texture, uv, vec3, vec4 } from "three/tsl";
import { watch } from "./watcher.js";

const ANSWER_EVERY = 10; // frames

export const renderer = new THREE.WebGPURenderer({ antialias: true });
await renderer.init();
renderer.setSize(innerWidth, innerHeight);
document.body.append(renderer.domElement);

const scene = new THREE.Scene();
scene.background = new THREE.Color("#234");
const knot = new THREE.Mesh(new THREE.TorusKnotGeometry(0.6, 0.2), new THREE.MeshNormalMaterial());
scene.add(knot);
const camera = new THREE.PerspectiveCamera(50, 1, 0.1, 10);
camera.position.z = 3;

// The GPUTexture behind three.js's render target, and the GPUBuffer behind its storage attribute.
export const target = new THREE.RenderTarget(256, 256, { colorSpace: THREE.SRGBColorSpace }); // pictures as models know them
renderer.initRenderTarget(target);
const picture = renderer.backend.get(target.texture).texture;
export let attribute;
const mapOf = (patches) => {
  attribute = new THREE.StorageBufferAttribute(patches, 1);
  renderer.backend.createStorageAttribute(attribute);
  return renderer.backend.get(attribute).buffer;
};

const file = await fetch(new URLSearchParams(location.search).get("model") ?? "./model.safetensors");
export const watcher = await watch(renderer.backend.device, new Uint8Array(await file.arrayBuffer()), mapOf);

const { side } = watcher;
const attention = storage(attribute, "float", side * side).toReadOnly();
const patch = uv().mul(side).floor().toVar();
const row = float(side - 1).sub(patch.y); // the model's rows begin at the top
const heat = attention.element(int(row.mul(side).add(patch.x))).mul((side * side) / 3).clamp(0, 1);
const overlay = new THREE.MeshBasicNodeMaterial();
overlay.colorNode = vec4(mix(texture(target.texture).rgb, vec3(1, 0.3, 0), heat.mul(0.7)), 1);
const quad = new THREE.QuadMesh(overlay);
// `?offscreen` draws into a texture, where a software adapter cannot show a canvas.
export const screen = new URLSearchParams(location.search).has("offscreen") ? new THREE.RenderTarget(512, 512) : null;

let frame = 0;
let drawing = false;
export async function draw() {
  if (drawing) return; // a GPU that is slower than the screen skips frames, not falls behind
  drawing = true;
  knot.rotation.set(frame / 50, frame / 30, 0);
  renderer.setRenderTarget(target);
  renderer.render(scene, camera);
  watcher.look(picture);
  renderer.setRenderTarget(screen);
  quad.render(renderer);
  if (frame++ % ANSWER_EVERY === 0) void watcher.answer().then((label) => (document.querySelector("output").textContent = label));
  await renderer.backend.device.queue.onSubmittedWorkDone();
  drawing = false;
}
renderer.setAnimationLoop(draw);
