/**
 * Protobuf's wire format, by @bufbuild/protobuf. The package of the library has it built into this module, which is why nothing else imports
 * it and why what is exported names no type of its.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** A message being written. Fields go to the end, those of equal number in the order of the calls. */
export interface Message {
  readonly text: (field: number, value: string) => Message;
  readonly int: (field: number, value: number) => Message;
  readonly float: (field: number, value: number) => Message;
  /** A message inside of this one. */
  readonly inner: (field: number, write: (m: Message) => void) => Message;
  /** The tag and length of `bytes` bytes that the caller puts behind what is written so far. */
  readonly announce: (field: number, bytes: number) => Message;
  readonly finish: () => Uint8Array;
}

export const message = (): Message => messageOn(new BinaryWriter());

function messageOn(w: BinaryWriter): Message {
  const m: Message = {
    text: (field, value) => (w.tag(field, WireType.LengthDelimited).string(value), m),
    int: (field, value) => (w.tag(field, WireType.Varint).int64(value), m),
    float: (field, value) => (w.tag(field, WireType.Bit32).float(value), m),
    inner(field, write) {
      w.tag(field, WireType.LengthDelimited).fork();
      write(m);
      w.join();
      return m;
    },
    announce: (field, bytes) => (w.tag(field, WireType.LengthDelimited).uint32(bytes), m),
    finish: () => w.finish(),
  };
  return m;
}

/** A message's fields in order: whole numbers, and what has a length as a view of its bytes. Other kinds are passed over. */
export function* fieldsOf(bytes: Uint8Array): Generator<readonly [field: number, value: number | Uint8Array]> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.Varint) yield [field, Number(reader.int64())];
    else if (type === WireType.LengthDelimited) yield [field, reader.bytes()];
    else reader.skip(type, field);
  }
}
