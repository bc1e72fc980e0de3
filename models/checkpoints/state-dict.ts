/** Finds the dict of a PyTorch checkpoint that holds the weights: training scripts save it bare, or under a key of their choice. */
import { quote } from "../shown.ts";
import { kindOf, type Pickled, type PickledMap, StridedTensor } from "./pickle-values.ts";

export interface StateDictChoice {
  /** The moving average of the weights, which a training checkpoint may hold beside them. */
  readonly ema?: boolean | undefined;
  /** The dict's key, `a.b` for a dict within a dict. */
  readonly key?: string | undefined;
}

/** Taken first where a checkpoint has several dicts of tensors: the keys of the official code and of timm, then of tutorials. */
const COMMON_KEYS = ["model", "state_dict", "model_state", "model_state_dict", "module", "net"];
const USUAL_AVERAGES = ["model_ema", "state_dict_ema"];

const AVERAGE = /(^|[_.])(ema|swa|avg|averaged)([_.]|$)/;

/** A dict with tensors in it, by its path from the root. */
type Candidates = ReadonlyMap<string, PickledMap>;

/**
 * The state dict of a checkpoint: the root, or the dict that `key` names, or the only one, or the one under the most usual key. Throws if
 * there is none, or if several remain; the message lists them.
 */
export function stateDict(root: Pickled, { ema = false, key }: StateDictChoice): PickledMap {
  if (!(root instanceof Map)) return fail("a dict of tensors", whatRootIs(root));
  const all = candidates(root);
  const keyed = key === undefined ? undefined : all.get(key);
  if (keyed) return keyed;
  if (key !== undefined && !hasTensors(root)) fail(`a dict of tensors at ${quote(key)}`, list(all, root));
  const averages = new Map([...all].filter(([path]) => AVERAGE.test(path)));
  if (ema)
    return (
      usualOf(averages, USUAL_AVERAGES) ??
      onlyOf(averages) ??
      fail(several(averages, "a moving average"), list(averages.size > 0 ? averages : all, root))
    );
  const plain = new Map([...all].filter(([path]) => !averages.has(path)));
  const usual = usualOf(plain, COMMON_KEYS);
  if (usual) return usual;
  // A bare state dict; `key` may be a prefix of its names (prefixes.ts).
  if (hasTensors(root)) return root;
  return onlyOf(plain) ?? onlyOf(all) ?? fail(several(all, "a dict of tensors"), list(all, root));
}

/** The dict under the most usual key. */
const usualOf = (found: Candidates, names: readonly string[]): PickledMap | undefined =>
  found.get(names.find((name) => found.has(name)) ?? "");

const onlyOf = (found: Candidates): PickledMap | undefined => (found.size === 1 ? [...found.values()][0] : undefined);

/** The dicts of tensors one step below the root; where there is none, two steps below. */
function candidates(root: PickledMap): Candidates {
  const inner = [...root].filter((entry): entry is [string, PickledMap] => typeof entry[0] === "string" && entry[1] instanceof Map);
  const near = inner.filter(([, dict]) => hasTensors(dict));
  const far = inner.flatMap(([name, dict]) =>
    [...dict].flatMap(([key, value]): [string, PickledMap][] =>
      typeof key === "string" && value instanceof Map && hasTensors(value) ? [[`${name}.${key}`, value]] : [],
    ),
  );
  return new Map(near.length > 0 ? near : far);
}

/** Whether a dict maps names to tensors. */
const hasTensors = (dict: PickledMap): boolean =>
  [...dict].some(([name, value]) => typeof name === "string" && value instanceof StridedTensor);

const several = (found: Candidates, what: string): string =>
  found.size > 1 ? "one dict of tensors (convert --key takes one of several)" : what;

const list = (found: Candidates, root: PickledMap): string => {
  const names = found.size > 0 ? [...found.keys()].map(quote) : [...root.keys()].map(kindOf);
  return names.length === 0 ? "an empty dict" : names.slice(0, 8).join(", ") + (names.length > 8 ? ` and ${names.length - 8} more` : "");
};

const whatRootIs = (root: Pickled): string =>
  typeof root === "object" && root !== null && "name" in root ? `${kindOf(root)} (save its state_dict() instead)` : kindOf(root);

function fail(expected: string, got: string): never {
  throw new Error(`torch file: expected ${expected}, got ${got}`);
}
