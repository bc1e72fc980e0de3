import { mount } from "../shell/mount.tsx";

mount(() => <p class="note">…</p>);
