import { expect, test } from "vitest";
import type { Example } from "../../tasks/api.ts";
import { receivedExamples } from "../../tasks/remote-examples.ts";

const example = (label: string): Example => ({ image: "a.png", label });

test("come in the page's order, to its end", async () => {
  const sent = [example("a"), example("b"), null];
  const got = [];
  for await (const one of receivedExamples({ next: async () => sent.shift()! }, new AbortController().signal)) got.push(one.label);
  expect(got).toEqual(["a", "b"]);
});

test("a page that has gone sends no more: the waiting ends with the signal's reason", async () => {
  const gone = new AbortController();
  let asked = 0;
  const next = () => (asked++ === 0 ? Promise.resolve(example("a")) : new Promise<Example | null>(() => undefined));
  const examples = receivedExamples({ next }, gone.signal);
  expect((await examples.next()).value).toEqual(example("a"));
  const waiting = examples.next();
  gone.abort(new Error("the tab is closed"));
  await expect(waiting).rejects.toThrow("the tab is closed");
  expect(asked).toBe(2);
});
