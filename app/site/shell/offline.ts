/** Keeps the site for use without a network, from the first visit on. A browser that refuses (a private window) just goes without. */
export function offline(): void {
  if ("serviceWorker" in navigator) {
    addEventListener("load", () => void navigator.serviceWorker.register(new URL("./sw.js", document.baseURI)).catch(() => undefined));
  }
}
