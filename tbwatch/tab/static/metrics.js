// How each quantity is coloured, and what a healthy one looks like.

// Powers of ten on a scale with a healthy middle; source of the band: docs/quantities.md.
const RATIO = { kind: "diverging", low: -7, high: 0, healthy: [-4, -2] };
const SHARE = { kind: "sequential", low: 0, high: 1 };
const COSINE = { kind: "signed", low: -1, high: 1 };
const COUNT = { kind: "count" };
const NORM = { kind: "log" }; // limits are those of the run

const SCALES = {
  update_ratio: { ...RATIO, says: "healthy: 1e−4 to 1e−2; below 1e−7 nothing moves, at 1 it jumps" },
  window_change: { ...RATIO, high: 1, says: "change between two samples: it adds up over updates" },
  gradient_norm: { ...NORM, says: "no limit of its own: compare neighbours and moments" },
  update_norm: { ...NORM, says: "no limit of its own: see the update ratio" },
  weight_norm: { ...NORM, says: "no limit of its own: it should not run away" },
  gradient_zero_fraction: { ...SHARE, says: "1: the layer learns nothing" },
  update_zero_fraction: { ...SHARE, says: "1: nothing changed" },
  gradient_nonfinite: { ...COUNT, says: "healthy: 0" },
  weight_nonfinite: { ...COUNT, says: "healthy: 0" },
  update_nonfinite: { ...COUNT, says: "healthy: 0" },
  decay_cosine: { ...COSINE, says: "1: only weight decay moves it" },
  gradient_weight_cosine: { ...COSINE, says: "1: only an L2 penalty pulls" },
  activation_mean: { kind: "signed", says: "far from 0 beside its spread: the units hardly differ" },
  activation_std: { ...NORM, says: "should neither shrink nor grow from layer to layer" },
  unit_std: { ...NORM, says: "small: what is handed on hardly depends on the input" },
  activation_zero_fraction: { ...SHARE, says: "ReLU: about a half; 1: the layer is silent" },
  activation_nonfinite: { ...COUNT, says: "healthy: 0" },
  silent_units: { ...SHARE, says: "units that were 0 for a whole batch" },
  dead_units: { ...SHARE, says: "healthy: near 0" },
  saturated_fraction: { ...SHARE, says: "healthy: well below 1" },
  saturated_units: { ...SHARE, says: "healthy: near 0" },
};

/** The scale of a quantity: low and high are in the units of `position`. */
export function scaleOf(quantity, series) {
  const scale = { ...(SCALES[quantity] || { ...NORM, says: "" }) };
  if (scale.low === undefined) Object.assign(scale, limits(scale.kind, series));
  return scale;
}

/** Where a finite value lies on its scale: its logarithm, or itself. */
export function position(scale, value) {
  if (scale.kind === "diverging" || scale.kind === "log") {
    return value > 0 ? Math.log10(value) : -Infinity;
  }
  return scale.kind === "count" ? Math.log10(1 + value) : value;
}

/** The reverse, for the numbers beside a legend. */
export function valueAt(scale, at) {
  if (scale.kind === "diverging" || scale.kind === "log") return 10 ** at;
  return scale.kind === "count" ? 10 ** at - 1 : at;
}

/** From the lowest to the highest finite value of all series, a little wider than nothing. */
function limits(kind, seriesOfRuns) {
  let low = Infinity;
  let high = -Infinity;
  for (const series of seriesOfRuns) {
    for (const value of series.values) {
      if (!Number.isFinite(value)) continue;
      const at = position({ kind }, value);
      if (!Number.isFinite(at)) continue;
      if (at < low) low = at;
      if (at > high) high = at;
    }
  }
  if (low > high) [low, high] = [0, 1];
  if (kind === "count") low = 0;
  if (kind === "signed") [low, high] = [-Math.max(-low, high), Math.max(-low, high)];
  if (high - low < 1e-3) [low, high] = [low - 0.5, high + 0.5];
  return { low, high };
}

/** Text on what a healthy value is. */
export function advice(quantity) {
  return (SCALES[quantity] || { says: "" }).says;
}
