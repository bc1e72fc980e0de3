/**
 * Registers, spills and shared memory of the hot kernels on AMD GPUs, by Mesa's own compiler without a GPU: radv/figures.txt. A kernel that
 * spills is slow beyond any tuning. Needs gcc, Vulkan's headers and Mesa's driver (Debian: gcc, libvulkan-dev, mesa-vulkan-drivers).
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const DRIVER = "/usr/share/vulkan/icd.d/radeon_icd.json";
const INCLUDE = process.env["VULKAN_INCLUDE"] ?? "/usr/include";
const missing = [DRIVER, join(INCLUDE, "vulkan/vk_layer.h")].filter((file) => !existsSync(file));
const folder = mkdtempSync(join(tmpdir(), "tessera-radv-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** RDNA 3, which has matrices. */
const FAMILIES = ["navi31"] as const;

function buildLayer(): void {
  execFileSync("gcc", ["-O1", "-shared", "-fPIC", `-I${INCLUDE}`, "test/slow/radv/layer.c", "-o", join(folder, "liblayer.so")]);
  const layer = {
    name: "VK_LAYER_TESSERA_no_work",
    type: "GLOBAL",
    library_path: "./liblayer.so",
    api_version: "1.3.239",
    implementation_version: "1",
    description: "no work",
    functions: { vkGetInstanceProcAddr: "layer_instance", vkGetDeviceProcAddr: "layer_device" },
  };
  writeFileSync(join(folder, "layer.json"), JSON.stringify({ file_format_version: "1.0.0", layer }));
}

interface Figures {
  readonly name: string;
  readonly vgprs: number;
  readonly spilled: number;
  readonly lds: number;
  readonly scratch: number;
}

function compiled(family: string): Figures[] {
  const { stderr, status } = spawnSync(process.execPath, ["--import", "./cli/typescript.mjs", "test/slow/radv/compile.ts"], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: {
      ...process.env,
      XDG_RUNTIME_DIR: folder,
      MESA_SHADER_CACHE_DISABLE: "true",
      VK_ICD_FILENAMES: DRIVER,
      VK_LAYER_PATH: folder,
      VK_INSTANCE_LAYERS: "VK_LAYER_TESSERA_no_work",
      RADV_FORCE_FAMILY: family,
      RADV_DEBUG: "shaderstats",
    },
  });
  if (status !== 0) throw new Error(`expected compile.ts to end well, got ${status}: ${stderr.slice(-2000)}`);
  const found: Figures[] = [];
  for (const part of stderr.split("### ").slice(1)) {
    const number = (name: string) => Number(new RegExp(`^${name}: (\\d+)`, "m").exec(part)?.[1] ?? NaN);
    const name = part.split("\n")[0]!.trim();
    if (found.some((f) => f.name === name)) continue;
    found.push({
      name,
      vgprs: number("VGPRs"),
      spilled: number("Spilled VGPRs"),
      lds: number("LDS size"),
      scratch: number("Scratch size"),
    });
  }
  return found;
}

test.skipIf(missing.length > 0)(
  `no hot kernel spills on AMD${missing.length > 0 ? ` (skipped: ${missing.join(", ")} missing)` : ""}`,
  { timeout: 30 * 60_000 },
  async () => {
    buildLayer();
    for (const family of FAMILIES) {
      const found = compiled(family);
      expect(found.length).toBeGreaterThan(30);
      const table = found.map(
        ({ name, vgprs, spilled, lds }) =>
          `${name.padEnd(56)}${String(vgprs).padStart(5)} VGPRs${String(spilled).padStart(4)} spilled${String(lds).padStart(7)} B`,
      );
      await expect(`${table.join("\n")}\n`).toMatchFileSnapshot(`radv/${family}.txt`);
      const spilling = found.filter(({ spilled, scratch }) => spilled > 0 || scratch > 0 || Number.isNaN(spilled));
      expect(spilling).toEqual([]);
    }
  },
);
