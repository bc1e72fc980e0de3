/**
 * CIFAR-100's binary form: records of a coarse label (20), a fine label (100) and 3072 bytes (3, 32, 32).
 * Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
 */
import type { ImageSet } from "./dataset.ts";

const IMAGE_BYTES = 3 * 32 * 32;
const RECORD_BYTES = 2 + IMAGE_BYTES;

/** Labels are the fine ones; `classes` are their names. Throws for an empty or truncated file and for labels out of range. */
export function parseCifar100(bytes: Uint8Array, classes: readonly string[] = CIFAR100_CLASSES): ImageSet {
  if (bytes.length === 0) throw new Error(`parseCifar100: expected at least one record of ${RECORD_BYTES} bytes, got an empty file`);
  const count = Math.floor(bytes.length / RECORD_BYTES);
  const rest = bytes.length % RECORD_BYTES;
  if (rest !== 0)
    throw new Error(`parseCifar100: expected whole records of ${RECORD_BYTES} bytes, got ${count} records and ${rest} bytes more`);
  const images = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  for (let n = 0; n < count; n++) {
    const at = n * RECORD_BYTES;
    const [coarse, fine] = [bytes[at]!, bytes[at + 1]!];
    if (coarse >= 20) throw new Error(`parseCifar100: expected a coarse label below 20 in record ${n}, byte ${at}, got ${coarse}`);
    if (fine >= classes.length)
      throw new Error(`parseCifar100: expected a fine label below ${classes.length} in record ${n}, byte ${at + 1}, got ${fine}`);
    labels[n] = fine;
    images.set(bytes.subarray(at + 2, at + RECORD_BYTES), n * IMAGE_BYTES);
  }
  return { images, labels, count, classes: [...classes], shape: [3, 32, 32] };
}

export const CIFAR100_CLASSES: readonly string[] = (
  "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle caterpillar cattle " +
  "chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard " +
  "lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree " +
  "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider " +
  "squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
).split(" ");

/** Per-channel mean and deviation of the 50,000 training images, in [0, 1] units. */
export const CIFAR100_MEAN = [0.50707516, 0.48654887, 0.44091784] as const;
export const CIFAR100_STD = [0.26733429, 0.25643846, 0.27615047] as const;
