/** Links that hold a page's state: whole ones open, all others are told apart by what is wrong. */
import { deflateSync } from "fflate";
import { describe, expect, test } from "vitest";
import { linked, linkOf } from "../../app/bench-page/link.ts";
import { labOf } from "../../app/bench-page/lab.ts";
import { shapeOf } from "../../app/site/lab/link.ts";
import { fromHash, toHash } from "../../app/site/shell/link.ts";
import { made } from "../bench/made.ts";

const state = { op: "softmax", code: "fn main() { /* ü € */ }" };

test("a link gives back what it was made of, also from an address that was pasted into text", () => {
  const hash = toHash("lab", "1", state);
  expect(hash).toMatch(/^#1\.[a-z0-9]+\.[\w-]+$/);
  expect(fromHash("lab", "1", hash)).toEqual(state);
});

describe("a link that is none", () => {
  const hash = toHash("lab", "1", state);
  const [version, sum, text] = hash.slice(1).split(".") as [string, string, string];
  const garbage = btoa(String.fromCharCode(...deflateSync(new TextEncoder().encode("not JSON"))));
  test.each([
    ["cut at its end", hash.slice(0, -3), "expected a whole link, got one that was cut or changed"],
    ["cut in its middle", hash.slice(0, 12), "expected a whole link, got one that was cut or changed"],
    ["cut to its version", "#1", "expected a whole link, got one that was cut or changed"],
    [
      "with one character changed",
      `#${version}.${sum}.${text.slice(0, 9)}${text[9] === "A" ? "B" : "A"}${text.slice(10)}`,
      "cut or changed",
    ],
    ["with what is no base64", `#1.${sum}.%%%`, "cut or changed"],
    ["of content that is no JSON", `#1.${sum}.${garbage}`, "cut or changed"],
    ["of another version", `#9${hash.slice(2)}`, "expected a link of version 1, got version 9"],
    ["empty", "#", "expected a link of version 1, got none"],
    ["longer than any that is made", `#1.${sum}.${"A".repeat(70_000)}`, "cut or changed"],
  ])("%s is told", (_, broken, message) => expect(() => fromHash("lab", "1", broken)).toThrow(message));

  test("what is too long for a link is refused", () => {
    let seed = 1;
    const noise = Array.from({ length: 70_000 }, () => String.fromCharCode(48 + ((seed = (seed * 48271) % 0x7fffffff) % 64))).join("");
    expect(() => toHash("bench", "1", noise)).toThrow(/^bench: expected what fits a link of 64000 characters, got \d+; save it as a file/);
  });
});

describe("a result as a link", () => {
  test("is the same result", () => {
    const result = made({ cases: { "softmax 12x197x197": 2, "matmul 256x256x256": 3 } });
    expect(linked(linkOf(result))).toEqual({ name: "from a link", result });
  });

  test("of a sustained run is the same; without a window it is none", () => {
    const sustained = { case: "train a B8", imagesPerRun: 8, seconds: 600, windows: [{ seconds: 10, imagesPerSecond: 80 }], knee: null };
    const result = { ...made({ cases: {} }), sustained };
    expect(linked(linkOf(result)).result).toEqual(result);
    expect(() => linked(linkOf({ ...result, sustained: { ...sustained, windows: [] } }))).toThrow(/sustained\.windows/);
  });

  test("whose content is no result is refused by what is wrong with it", () => {
    expect(() => linked(toHash("bench", "r1", { ...made({ cases: {} }), ceilings: 5 }))).toThrow(
      /no result of the benchmark.*ceilings: expected an object, got 5/,
    );
  });
});

test("an operation's case leads to the lab at its shape, a model's nowhere", () => {
  expect(labOf("./lab.html")("softmax 12x197x197")).toBe("./lab.html#op=softmax&sizes=12x197x197");
  expect(shapeOf("#op=softmax&sizes=12x197x197")).toEqual({ op: "softmax", sizes: "12x197x197" });
  expect(labOf("./lab.html")("train deit_dim96_depth4_distilled_patch4_32 B8")).toBeNull();
  expect(labOf("./lab.html")("no case of ours")).toBeNull();
  expect(shapeOf("#1.abc.def")).toBeNull();
});
