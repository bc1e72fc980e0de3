/** The first page: says what this browser's adapter is. Loads nothing of the engine. */
import { findAdapter, noWebGpu } from "./shell/no-webgpu.ts";
import { offline } from "./shell/offline.ts";

const say = (name: string, text: string): void => {
  const place = document.querySelector(`[data-${name}]`);
  if (place) place.textContent = text;
};

async function describeAdapter(): Promise<void> {
  const adapter = await findAdapter();
  if (!adapter) return document.getElementById("gpu")!.replaceChildren(noWebGpu());
  const { info } = adapter;
  say("adapter", [info.vendor, info.architecture, info.description].filter(Boolean).join(" ") || "unnamed");
  say(
    "kind",
    info.isFallbackAdapter || /swiftshader|llvmpipe|software/i.test(`${info.architecture} ${info.description}`)
      ? "software: the processor plays a GPU, slowly"
      : "GPU",
  );
  const wanted = ["shader-f16", "subgroups", "timestamp-query"].filter((feature) => adapter.features.has(feature));
  say("features", wanted.join(", ") || "no optional ones");
}

void describeAdapter();
offline();
