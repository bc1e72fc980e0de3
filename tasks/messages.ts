/**
 * Calls between a page and its worker, by Comlink. The package of the library has Comlink built into this module: import maps do not reach
 * workers, so that a module of a worker can name no other package.
 */
export { expose, proxy, type ProxyMarked, type Remote, releaseProxy, transfer, wrap } from "comlink";
