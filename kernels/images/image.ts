/**
 * Converts pictures to a model's input on the GPU: texels are resized along the width, then along the height, in integers, as
 * Pillow does it and as models/images/preprocess.ts does it on the CPU, to the bit.
 *
 *   y = clamp((2^21 + sum of q x) >> 22, 0, 255),   q = the weights in units of 2^-22
 */
import { getDevice, type Device } from "../../engine/device.ts";
import { flush } from "../../engine/launch.ts";
import { madeOnce, perDevice } from "../../engine/made-once.ts";
import { allocate, filledBuffer, destroyBuffer, type Storage } from "../../engine/memory.ts";
import { antialiasedBands, BICUBIC, BILINEAR, PRECISION, quantized, type Band } from "../shared/resample.ts";

/** Sources of `copyExternalImageToTexture`, raw pixels, and textures. An object with `data`, `width` and `height` holds RGBA bytes. */
export type ImageSource =
  | ImageData
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement
  | VideoFrame
  | GPUTexture;

/**
 * How a picture becomes size x size pixels: its short side (both sides if `square`) is resized to `resize` pixels, then the centre is cut
 * out.
 */
export interface ImageSteps {
  readonly size: number;
  readonly resize: number;
  readonly square: boolean;
  readonly filter: "bicubic" | "bilinear";
}

interface Target {
  readonly storage: Storage;
  /** Bytes (3, size, size) from word `at` of the storage on; or, where `normalization` is given, f32 (byte / 255 - mean) / std. */
  readonly at?: number;
  readonly normalization?: { readonly mean: readonly number[]; readonly std: readonly number[] };
}

const WG = 64;

/** Writes the picture, resized and cropped by `steps`, into the target. Two launches, submitted at once. */
export function placedImage(what: string, image: ImageSource, steps: ImageSteps, target: Target): void {
  const device = getDevice();
  device.check();
  flush(); // waiting launches may use the same memory
  device.guard(() => {
    const { texture, width, height } = textureOf(what, device, image);
    const { columns, rows } = tablesOf(device, width, height, steps);
    const wide = allocate(4 * steps.size * rows.span, `${what}, ${rows.span}x${steps.size}`);
    const encoder = device.gpu.createCommandEncoder({ label: what });
    const pass = encoder.beginComputePass();
    const dispatch = (pipeline: GPUComputePipeline, n: number, resources: readonly GPUBindingResource[]) => {
      const entries = resources.map((resource, binding) => ({ binding, resource }));
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      const groups = Math.ceil(n / WG);
      const x = Math.min(groups, device.limits.maxComputeWorkgroupsPerDimension);
      pass.dispatchWorkgroups(x, Math.ceil(groups / x));
    };
    const { size } = steps;
    const across = pipelineOf(device, acrossCode({ size, top: rows.first, rows: rows.span, encode: texture.format.endsWith("-srgb") }));
    dispatch(across, size * rows.span, [texture.createView(), { buffer: columns.buffer }, { buffer: wide.use(what) }]);
    const { normalization, at = 0 } = target;
    const down = pipelineOf(device, downCode({ size, top: rows.first, normalization }));
    const place = { buffer: target.storage.use(what), offset: 0 };
    dispatch(down, normalization ? 3 * size * size : Math.ceil((3 * size * size) / 4), [
      { buffer: wide.use(what) },
      { buffer: rows.buffer },
      place,
      { buffer: wordOffset(device, at) },
    ]);
    pass.end();
    device.gpu.queue.submit([encoder.finish()]);
    device.stats.launches += 2;
    device.stats.submits++;
    wide.free(); // later uses of this memory come later in the queue
  });
}

// Both kernels: table[3 i], [3 i + 1], [3 i + 2] are output i's first input, first weight and number of weights; the weights follow.
const INDEX = `(id.y * groups.x + id.x) * ${WG}u + local`;

const acrossCode = ({ size, top, rows, encode }: { size: number; top: number; rows: number; encode: boolean }): string => /* wgsl */ `
@group(0) @binding(0) var image: texture_2d<f32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> wide: array<u32>; // (rows, size) pixels, a byte per channel

fn bytes(at: vec2u) -> vec3i {
  ${
    encode
      ? /* wgsl */ `let v = textureLoad(image, at, 0).rgb; // an sRGB texture gives linear light
  let s = select(1.055 * pow(v, vec3f(1.0 / 2.4)) - 0.055, 12.92 * v, v <= vec3f(0.0031308));`
      : `let s = textureLoad(image, at, 0).rgb;`
  }
  return vec3i(round(255.0 * clamp(s, vec3f(0.0), vec3f(1.0))));
}

@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${INDEX};
  if (i >= ${size * rows}u) { return; }
  let x = i % ${size}u;
  let y = ${top}u + i / ${size}u;
  let first = table[3u * x];
  let weight = table[3u * x + 1u];
  var sum = vec3i(${1 << (PRECISION - 1)});
  for (var k = 0u; k < table[3u * x + 2u]; k++) {
    sum += bitcast<i32>(table[weight + k]) * bytes(vec2u(first + k, y));
  }
  let b = vec3u(clamp(sum >> vec3u(${PRECISION}u), vec3i(0), vec3i(255)));
  wide[i] = b.x | (b.y << 8u) | (b.z << 16u);
}`;

const downCode = ({ size, top, normalization }: { size: number; top: number; normalization: Target["normalization"] }): string => {
  const list = (values: readonly number[]) => `array<f32, 3>(${values.map((v) => v.toExponential()).join(", ")})`;
  return /* wgsl */ `
@group(0) @binding(0) var<storage, read> wide: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<${normalization ? "f32" : "u32"}>; // (3, size, size)
@group(0) @binding(3) var<uniform> at: u32; // where it begins in y

fn byteAt(i: u32) -> u32 {
  let c = i / ${size * size}u;
  let row = (i / ${size}u) % ${size}u;
  let first = table[3u * row] - ${top}u;
  let weight = table[3u * row + 1u];
  var sum = ${1 << (PRECISION - 1)};
  for (var k = 0u; k < table[3u * row + 2u]; k++) {
    sum += bitcast<i32>(table[weight + k]) * i32((wide[(first + k) * ${size}u + i % ${size}u] >> (8u * c)) & 0xffu);
  }
  return u32(clamp(sum >> ${PRECISION}u, 0, 255));
}

@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${INDEX};
  ${
    normalization
      ? /* wgsl */ `if (i >= ${3 * size * size}u) { return; }
  var means = ${list(normalization.mean)};
  var stds = ${list(normalization.std)};
  let c = i / ${size * size}u;
  y[at + i] = (f32(byteAt(i)) / 255.0 - means[c]) / stds[c];`
      : /* wgsl */ `if (4u * i >= ${3 * size * size}u) { return; }
  var word = 0u;
  for (var b = 0u; b < 4u; b++) {
    if (4u * i + b < ${3 * size * size}u) { word |= byteAt(4u * i + b) << (8u * b); }
  }
  y[at + i] = word;`
  }
}`;
};

/** A device's objects that are reused between pictures, so that frames of a video create nothing. */
interface Kept {
  readonly pipelines: Map<string, GPUComputePipeline>;
  readonly tables: Map<string, Tables>;
  readonly offsets: Map<number, GPUBuffer>;
  texture: GPUTexture | null;
}

const keptOf = perDevice((): Kept => ({ pipelines: new Map(), tables: new Map(), offsets: new Map(), texture: null }));

function pipelineOf(device: Device, code: string): GPUComputePipeline {
  return madeOnce(keptOf(device).pipelines, code, () => {
    device.stats.pipelinesCreated++;
    const module = device.gpu.createShaderModule({ label: "image", code });
    return device.gpu.createComputePipeline({ label: "image", layout: "auto", compute: { module, entryPoint: "main" } });
  });
}

/** A uniform buffer with this index into the storage; one per index, of which a batch has few. */
function wordOffset(device: Device, at: number): GPUBuffer {
  return madeOnce(keptOf(device).offsets, at, () => filledBuffer(device, "image table", Uint32Array.of(at), GPUBufferUsage.UNIFORM));
}

interface Table {
  readonly buffer: GPUBuffer;
  /** Index of the first input that any output uses, and their number. */
  readonly first: number;
  readonly span: number;
}
interface Tables {
  readonly columns: Table;
  readonly rows: Table;
}

const TABLES_KEPT = 16;

function tablesOf(device: Device, width: number, height: number, { size, resize, square, filter }: ImageSteps): Tables {
  const { tables } = keptOf(device);
  const key = `${width} ${height} ${size} ${resize} ${square} ${filter}`;
  let found = tables.get(key);
  if (!found) {
    // The short side to `resize`, the long one in proportion, cut off as torchvision does.
    const long = (side: number) => Math.trunc((resize * side) / Math.min(width, height));
    const [W, H] = square ? [resize, resize] : [width <= height ? resize : long(width), height <= width ? resize : long(height)];
    const axis = (from: number, to: number): Table => {
      const all = quantized(antialiasedBands(from, to, filter === "bicubic" ? BICUBIC : BILINEAR));
      const at = middle(to, size);
      return tableOf(device, all.slice(at, at + size));
    };
    found = { columns: axis(width, W), rows: axis(height, H) };
    tables.set(key, found);
    if (tables.size > TABLES_KEPT) {
      const [oldest, { columns, rows }] = tables.entries().next().value!;
      tables.delete(oldest);
      for (const { buffer } of [columns, rows]) destroyBuffer(device, buffer);
    }
  }
  return found;
}

/** Offset of the centred `size` pixels in `whole`, as torchvision's CenterCrop rounds it: halves to even. */
function middle(whole: number, size: number): number {
  const half = (whole - size) / 2;
  return half % 1 === 0.5 && Math.floor(half) % 2 === 0 ? Math.floor(half) : Math.round(half);
}

function tableOf(device: Device, bands: readonly Band[]): Table {
  const first = Math.min(...bands.map((b) => b.from));
  const end = Math.max(...bands.map((b) => b.from + b.weights.length));
  let at = 3 * bands.length;
  const runs = bands.flatMap(({ from, weights }) => [from, (at += weights.length) - weights.length, weights.length]);
  const data = new Int32Array([...runs, ...bands.flatMap((b) => b.weights)]);
  return { buffer: filledBuffer(device, "image table", new Uint32Array(data.buffer), GPUBufferUsage.STORAGE), first, span: end - first };
}

const isTexture = (image: ImageSource): image is GPUTexture => "createView" in image;
const isPixels = (image: ImageSource): image is ImageData => "data" in image;

/** The size of a picture in pixels, with its orientation applied. */
export function sizeOf(image: ImageSource): { width: number; height: number } {
  if ("naturalWidth" in image) return { width: image.naturalWidth, height: image.naturalHeight };
  if ("videoWidth" in image) return { width: image.videoWidth, height: image.videoHeight };
  if ("displayWidth" in image) return { width: image.displayWidth, height: image.displayHeight };
  return { width: image.width, height: image.height };
}

function textureOf(what: string, device: Device, image: ImageSource): { texture: GPUTexture; width: number; height: number } {
  const { width, height } = sizeOf(image);
  if (!(width >= 1 && height >= 1)) throw new Error(`${what}: expected a picture of at least one pixel, got ${width}x${height}`);
  if (isTexture(image)) {
    if (!(image.usage & GPUTextureUsage.TEXTURE_BINDING) || image.dimension !== "2d" || image.sampleCount !== 1)
      throw new Error(
        `${what}: expected a 2d texture with the usage TEXTURE_BINDING and one sample, got ${image.format} usage ${image.usage}`,
      );
    return { texture: image, width, height };
  }
  const most = device.limits.maxTextureDimension2D;
  if (width > most || height > most) throw new Error(`${what}: expected at most ${most} pixels per side, got ${width}x${height}`);
  const keep = keptOf(device);
  if (keep.texture?.width !== width || keep.texture.height !== height) {
    keep.texture?.destroy();
    const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.RENDER_ATTACHMENT;
    keep.texture = device.gpu.createTexture({ label: "image", size: [width, height], format: "rgba8unorm", usage });
  }
  const { texture } = keep;
  if (isPixels(image)) {
    const data = image.data as Uint8ClampedArray<ArrayBuffer>;
    if (data.length !== 4 * width * height)
      throw new Error(`${what}: expected ${4 * width * height} bytes for ${width}x${height} RGBA, got ${data.length}`);
    device.gpu.queue.writeTexture({ texture }, data, { bytesPerRow: 4 * width }, [width, height]);
  } else device.gpu.queue.copyExternalImageToTexture({ source: image }, { texture }, [width, height]);
  return { texture, width, height };
}
