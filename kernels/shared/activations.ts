/**
 * Activations as data, for kernels that apply one to what they have just computed: an entry is the WGSL of `NAME(x)` and of its
 * derivative `NAME_grad(x)`, for x of type `T`, f32 or a vector of it. Adding an entry is all that `linear` and `mlp` need for another.
 */

/**
 * The exact GELU. `normal_cdf(x, e)` is Phi(x), given e = exp(-x*x/2); WGSL has no erf.
 *
 * Phi(-a) = e * t * Q(t) with t = 1/(1 + c*a) and Q of degree 7, fitted so that GELU is right to 3.8e-7 absolute and
 * 1.3e-6 relative on (-6, -0.5), where forms built from 1 + erf cancel. Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415
 */
export const geluOf = (T: string) => /* wgsl */ `
fn normal_cdf(x: ${T}, e: ${T}) -> ${T} {
  let t = 1.0 / (1.0 + 0.30052039 * abs(x));
  let q = ((((((0.03609216585755348 * t - 0.15804938971996307) * t + 0.20634356141090393) * t - 0.053959060459330056) * t
    + 0.12877847254276276) * t + 0.09997840225696564) * t + 0.120980404317379) * t + 0.11983539164066315;
  let tail = e * t * q;
  return select(1.0 - tail, tail, x < ${T}(0.0));
}
fn gelu(x: ${T}) -> ${T} { return x * normal_cdf(x, exp(-0.5 * x * x)); }
fn gelu_grad(x: ${T}) -> ${T} {
  let e = exp(-0.5 * x * x);
  return normal_cdf(x, e) + x * e * 0.3989422804014327;
}
`;

const reluOf = (T: string) => /* wgsl */ `
fn relu(x: ${T}) -> ${T} { return max(x, ${T}()); }
fn relu_grad(x: ${T}) -> ${T} { return select(${T}(), ${T}(1.0), x > ${T}()); }
`;

/** x sigmoid(x), as in PyTorch. Ramachandran et al. 2017, https://arxiv.org/abs/1710.05941 */
const siluOf = (T: string) => /* wgsl */ `
fn silu(x: ${T}) -> ${T} { return x / (1.0 + exp(-x)); }
fn silu_grad(x: ${T}) -> ${T} { let s = 1.0 / (1.0 + exp(-x)); return s * (1.0 + x * (1.0 - s)); }
`;

/** GELU by its tanh, as PyTorch's `approximate="tanh"`: 0.5 (1 + tanh(z)) = sigmoid(2 z). Its derivative is constant from |x| = 10 on. */
const geluTanhOf = (T: string) => /* wgsl */ `
fn geluTanh(x: ${T}) -> ${T} { return x / (1.0 + exp(-1.5957691216057308 * x * (1.0 + 0.044715 * x * x))); }
fn geluTanh_grad(given: ${T}) -> ${T} {
  let x = clamp(given, ${T}(-10.0), ${T}(10.0));
  let s = 1.0 / (1.0 + exp(-1.5957691216057308 * x * (1.0 + 0.044715 * x * x)));
  return s + x * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * x * x);
}
`;

const ACTIVATIONS = { gelu: geluOf, relu: reluOf, silu: siluOf, geluTanh: geluTanhOf } as const;

export type Activation = "none" | keyof typeof ACTIVATIONS;

export const ACTIVATION_NAMES = ["none", ...Object.keys(ACTIVATIONS)] as ["none", ...Activation[]];

/** WGSL of an activation and its derivative on `T`; nothing for "none". */
export const activationOf = (name: Activation, T: string): string => (name === "none" ? "" : ACTIVATIONS[name](T));

export function checkActivation(op: string, name: Activation): void {
  if (!ACTIVATION_NAMES.includes(name))
    throw new Error(`${op}: expected activation ${ACTIVATION_NAMES.map((n) => `"${n}"`).join(", ")}, got "${String(name)}"`);
}
