/** WGSL functions of one number, shared by kernels. */

/**
 * Of numbers or vectors (`T`): `normal_cdf(x, e)`: Phi(x), given e = exp(-x*x/2); and `gelu`, `gelu_grad` from it. WGSL has no erf.
 *
 * Phi(-a) = e * t * Q(t) with t = 1/(1 + c*a) and Q of degree 7, fitted so that GELU is right to 3.8e-7 absolute and
 * 1.3e-6 relative on (-6, -0.5), where forms built from 1 + erf cancel.
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

export const geluWgsl = geluOf("f32");
