/**
 * Metrics as a TensorBoard event file.
 *
 * The file is a TFRecord: each record is its length (8 bytes), the length's checksum, the data and the data's checksum; checksums
 * are CRC-32C, rotated and offset. The data is an `Event` message in protocol-buffer form: wall time (1), step (2), file version
 * (3) in the first record, and in the others a summary (5) of values with a tag (1) and a number (2).
 * https://www.tensorflow.org/tutorials/load_data/tfrecord, https://github.com/tensorflow/tensorboard (event.proto, summary.proto)
 */

/** One number of one step. */
export interface ScalarEvent {
  readonly tag: string;
  readonly step: number;
  readonly value: number;
  /** Seconds since 1970. */
  readonly wallTime: number;
}

/** The whole content of an event file, named `events.out.tfevents…` where TensorBoard looks for it. */
export function tensorboardFile(events: readonly ScalarEvent[]): Uint8Array {
  const first = events[0]?.wallTime ?? 0;
  return joined([record([...double(1, first), ...bytes(3, text("brain.Event:2"))]), tensorboardRecords(events)]);
}

/** What further events add to the end of such a file. */
export const tensorboardRecords = (events: readonly ScalarEvent[]): Uint8Array =>
  joined(
    events.map(({ tag, step, value, wallTime }) =>
      record([...double(1, wallTime), ...key(2, 0), ...varint(step), ...bytes(5, bytes(1, [...bytes(1, text(tag)), ...float(2, value)]))]),
    ),
  );

function joined(records: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(records.reduce((n, r) => n + r.length, 0));
  let at = 0;
  for (const r of records) {
    all.set(r, at);
    at += r.length;
  }
  return all;
}

function record(data: readonly number[]): Uint8Array {
  const out = new Uint8Array(16 + data.length);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(out.subarray(12, 12 + data.length)), true);
  return out;
}

const text = (s: string): number[] => [...new TextEncoder().encode(s)];
const key = (field: number, wireType: number): number[] => varint((field << 3) | wireType);
const bytes = (field: number, content: readonly number[]): number[] => [...key(field, 2), ...varint(content.length), ...content];
const double = (field: number, value: number): number[] => [...key(field, 1), ...new Uint8Array(new Float64Array([value]).buffer)];
const float = (field: number, value: number): number[] => [...key(field, 5), ...new Uint8Array(new Float32Array([value]).buffer)];

function varint(value: number): number[] {
  const out: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) | 128);
  return [...out, value];
}

// Castagnoli's polynomial, bits reversed.
const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let c = i;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c >>> 0;
});

/** CRC-32C. */
export function crc32c(data: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of data) c = TABLE[(c ^ byte) & 255]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function maskedCrc(data: Uint8Array): number {
  const c = crc32c(data);
  return (((c >>> 15) | (c << 17)) + 0xa282ead8) >>> 0;
}
