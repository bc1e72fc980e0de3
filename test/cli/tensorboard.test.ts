import { expect, test } from "vitest";
import { crc32c, tensorboardFile } from "../../jobs/files/tensorboard.ts";

test("crc32c: the checksum's published check value, and that of nothing", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array())).toBe(0);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa); // RFC 3720, B.4
});

test("tensorboardFile: the very bytes that TensorBoard's own reader took for step 300 of a loss", () => {
  const file = tensorboardFile([{ tag: "train/loss", step: 300, value: 1.5, wallTime: 1700000000.25 }]);
  expect(Buffer.from(file).toString("hex")).toBe(RECORDED);
});

// Read back with tensorboard 2.21: file version brain.Event:2, then step 300, tag train/loss, value 1.5, wall time 1700000000.25.
const RECORDED =
  "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe92100000000000000017becf60900001040fc54d94110ac022a130a110a0a747261696e2f6c6f7373150000c03ff4536857";
