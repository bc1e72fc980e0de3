/** Update rules in plain f64 loops, one element at a time. */

export interface AdamState {
  w: number;
  m: number;
  v: number;
}

export function adamw(
  { w, m, v }: AdamState,
  g: number,
  t: number,
  o: { lr: number; decay: number; beta1?: number; beta2?: number; eps?: number },
): AdamState {
  const { lr, decay, beta1 = 0.9, beta2 = 0.999, eps = 1e-8 } = o;
  const [m1, v1] = [beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g];
  return { m: m1, v: v1, w: w * (1 - lr * decay) - (lr / (1 - beta1 ** t)) * (m1 / (Math.sqrt(v1 / (1 - beta2 ** t)) + eps)) };
}

export function sgd(
  { w, u }: { w: number; u: number },
  grad: number,
  o: { lr: number; decay: number; momentum: number; nesterov: boolean },
): { w: number; u: number } {
  const g = grad + o.decay * w;
  const next = o.momentum * u + g;
  return { u: next, w: w - o.lr * (o.nesterov ? g + o.momentum * next : next) };
}
