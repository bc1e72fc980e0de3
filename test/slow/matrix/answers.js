/** The app of every row of the matrix: classifies a picture, teaches two classes, saves what was learned, loads it and classifies again. */

const SIDE = 24;

/** SIDE x SIDE pixels as ImageData has them; a runtime without ImageData can make it too. */
export function pixels(color) {
  const data = new Uint8ClampedArray(4 * SIDE * SIDE);
  for (let y = 0; y < SIDE; y++) for (let x = 0; x < SIDE; x++) data.set([...color(x, y), 255], 4 * (y * SIDE + x));
  return { width: SIDE, height: SIDE, data, colorSpace: "srgb" };
}

export const picture = pixels((x, y) => [9 * x, 10 * y, (x * y) % 256]);

/** A picture as the page has it: pixels that were made by hand become ImageData, which a worker can be given. */
const native = (image) => (typeof ImageData === "undefined" ? image : new ImageData(image.data, image.width, image.height));

/** `load` is loadModel or loadModelInWorker, `from` a URL or bytes, `image` the picture's file where there is one that can be decoded. */
export async function answers(load, from, image = native(picture)) {
  const model = await load(from);
  const classified = await model.classify(image);
  const examples = Array.from({ length: 8 }, (_, i) => [
    { label: "dark", image: native(pixels((x) => [x + 4 * i, 20, 30])) },
    { label: "light", image: native(pixels((x) => [255 - x - 4 * i, 230, 240])) },
  ]).flat();
  const { model: taught } = await model.fineTune(examples, { train: "all", epochs: 2, learningRate: 3e-3 });
  const again = await load(await taught.save());
  const learned = await again.classify(examples[1].image);
  for (const m of [model, taught, again]) m.dispose();
  return { classified, learned };
}

/** The promise's value, or the error in words, for whoever drives the page or runtime. */
export const outcome = (work) =>
  work.then(
    (value) => value,
    (error) => ({ error: `${error.name}: ${error.message}`, stack: error.stack }),
  );
