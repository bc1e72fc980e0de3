/** Names the kind of a file that is neither safetensors nor PyTorch's, from its first bytes, with advice. */

const START = 512;

/** Offset and value of a kind's first bytes, and its name. */
const MAGICS: readonly (readonly [at: number, bytes: string, kind: string])[] = [
  [0, "version https://git-lfs", 'a Git LFS pointer, which stands for the file (run "git lfs pull")'],
  [0, "\x1f\x8b", "a gzip file (unpack it first)"],
  [0, "BZh", "a bzip2 file (unpack it first)"],
  [0, "\xfd7zXZ", "an xz file (unpack it first)"],
  [0, "(\xb5/\xfd", "a Zstandard file (unpack it first)"],
  [0, "7z\xbc\xaf", "a 7-Zip archive (unpack it first)"],
  [0, "Rar!", "a RAR archive (unpack it first)"],
  [257, "ustar", "a tar archive (unpack it first)"],
  [0, "\x89HDF", "an HDF5 file, as Keras writes them"],
  [0, "GGUF", "a GGUF file"],
  [4, "TFL3", "a TensorFlow Lite model"],
  [0, "\x93NUMPY", "a NumPy array"],
  [0, "\x89PNG", "a PNG image"],
  [0, "\xff\xd8\xff", "a JPEG image"],
  [0, "%PDF", "a PDF document"],
  [0, "\x7fELF", "a program"],
];

/** The kind of a file that begins with `bytes` and is neither safetensors nor PyTorch's; `null` if unknown. */
export function kindOfFile(bytes: Uint8Array): string | null {
  if (bytes.length === 0) return "an empty file";
  const start = Array.from(bytes.subarray(0, START), (b) => String.fromCharCode(b)).join("");
  for (const [at, magic, kind] of MAGICS) if (start.startsWith(magic, at)) return kind;
  if (bytes[0] === 0x08 && bytes[1]! < 16 && bytes[2] === 0x12) return "an ONNX file of another program"; // version, then its writer's name
  const text = start.replace(/^\xef\xbb\xbf/, "").trimStart();
  if (/^<(!doctype|html|head|body|\?xml|!--)/i.test(text)) return "an HTML or XML page (a log-in page or an error of the server?)";
  if (/^(\{\s*["}]|\[\s*[[{"\d\]-])/.test(text)) return "JSON";
  if (/^[\t\n\r\x20-\x7e]+$/.test(start)) return "a text file";
  return null;
}

/** The kind of a zip archive with entries of these names; `null` for a checkpoint of PyTorch. */
export function kindOfArchive(names: readonly string[]): string | null {
  if (names.some((name) => /^[^/]+\/(code\/|constants\.pkl$)/.test(name)))
    return "a TorchScript archive, a program with its weights (in Python: torch.save(torch.jit.load(FILE).state_dict(), OUT))";
  if (names.some((name) => /^[^/]+\/data\.pkl$/.test(name))) return null;
  if (names.length > 0 && names.every((name) => name.endsWith(".npy"))) return "NumPy arrays (npz)";
  if (names.some((name) => /^(config|metadata)\.json$|\.weights\.h5$/.test(name)) && names.some((name) => name.endsWith(".h5")))
    return "a Keras model";
  if (names.some((name) => /\.(safetensors|pth|pt|bin)$/.test(name))) return "an archive with weights in it (unpack it first)";
  return "a zip archive of other files";
}
