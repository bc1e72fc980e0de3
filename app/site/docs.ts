/** The guides are plain HTML; this only keeps the site for use without a network. */
import { offline } from "./shell/offline.ts";

offline();
