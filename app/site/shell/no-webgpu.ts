/** A browser without a WebGPU adapter: what to do in it, and a recorded run to look at. */

/** What to do in the browser that calls itself `agent`; `secure`: the page came over https or from this machine. */
export function adviceFor(agent: string, secure: boolean): string {
  if (!secure) return "Open this page over https or from localhost: browsers offer WebGPU only there.";
  if (/Firefox\//.test(agent))
    return "Firefox has WebGPU from version 141 on Windows and from 145 on macOS 26 (Apple silicon). Elsewhere, set dom.webgpu.enabled to true in about:config and restart, or open this page in Chrome or Edge.";
  if (/iPhone|iPad/.test(agent) || (/Safari\//.test(agent) && !/Chrom(e|ium)\//.test(agent)))
    return "Safari has WebGPU from version 26 (macOS 26, iOS 26, iPadOS 26). On iOS 18, turn on WebGPU under Settings, Apps, Safari, Advanced, Feature Flags.";
  if (/Chrom(e|ium)\//.test(agent)) {
    const linux = /Linux/.test(agent) && !/Android/.test(agent);
    if (linux)
      return "On Linux, open chrome://flags/#enable-unsafe-webgpu, choose Enabled and relaunch the browser. chrome://gpu then says whether it found a GPU.";
    return "Update the browser to version 113 or later (on Android 121), turn on “Use graphics acceleration when available” in its settings under System, and relaunch it. chrome://gpu says whether it found a GPU.";
  }
  return "Open this page in Chrome or Edge 113 or later, Safari 26 or later, or Firefox 141 or later on Windows.";
}

/** The browser's adapter, or null. */
export const findAdapter = async (): Promise<GPUAdapter | null> =>
  (await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null)) ?? null;

/** The notice for this browser. */
export function noWebGpu(): HTMLElement {
  const notice = Object.assign(document.createElement("section"), { className: "card notice" });
  notice.dataset["noWebgpu"] = "";
  const title = Object.assign(document.createElement("h2"), { textContent: "This browser offers no WebGPU here" });
  const advice = Object.assign(document.createElement("p"), { textContent: adviceFor(navigator.userAgent, isSecureContext) });
  const instead = document.createElement("p");
  const link = Object.assign(document.createElement("a"), { href: "./recorded.html", textContent: "look at a recorded run" });
  instead.append("Until then, ", link, ": a distillation with its curves, its pictures and where the model looked.");
  notice.append(title, advice, instead);
  return notice;
}
