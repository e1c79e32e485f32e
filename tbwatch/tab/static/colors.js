// Colours that colour-blind people can tell apart: blue to orange around a neutral middle, and
// dark blue to yellow by growing lightness.

import { position } from "./metrics.js";

const DIVERGING = {
  light: ["#08306b", "#2171b5", "#8dbfe0", "#e4ebf2", "#f0f0f0", "#f7ece1", "#fdb97f", "#e6550d", "#7f2704"],
  dark: ["#b5d8ee", "#5aa5d6", "#255f93", "#33393f", "#383838", "#403a33", "#9c5215", "#f58231", "#fddab5"],
};
const SEQUENTIAL = {
  light: ["#f4f6f8", "#c6dbef", "#7fb0d6", "#3f7fb8", "#274b8f", "#1d2160"],
  dark: ["#23272b", "#27406b", "#2f6aa8", "#5b9bd0", "#a8cfec", "#f1f7fc"],
};
// Where the colours of a diverging scale stand: the healthy band is nearly grey.
const PLACES = [0, 0.2, 0.38, 0.44, 0.5, 0.56, 0.62, 0.8, 1];

// Numbers in the table of colours: missing, then steps of the scale, then a zero that a logarithm
// has no place for, then what is not finite.
export const MISSING = 0;
export const STEPS = 250;
export const ZERO = STEPS + 1;
export const NONFINITE = STEPS + 2;

/** Colours as 32-bit numbers for an ImageData, by the numbers above. */
export function table(kind, isDark) {
  const isDiverging = kind === "diverging" || kind === "signed";
  const stops = (isDiverging ? DIVERGING : SEQUENTIAL)[isDark ? "dark" : "light"].map(parsed);
  const places = isDiverging ? PLACES : stops.map((_, i) => i / (stops.length - 1));
  const colors = new Uint32Array(STEPS + 3);
  for (let step = 0; step < STEPS; step++) {
    const at = step / (STEPS - 1);
    const above = Math.max(1, places.findIndex((place) => place >= at));
    const part = (at - places[above - 1]) / (places[above] - places[above - 1]);
    const mixed = stops[above - 1].map((v, i) => v + (stops[above][i] - v) * part);
    colors[step + 1] = packed(mixed);
  }
  colors[MISSING] = 0;
  colors[ZERO] = packed(parsed(isDark ? "#d9a600" : "#e0a800"));
  colors[NONFINITE] = packed(parsed(isDark ? "#ff4fd8" : "#c2009b"));
  return colors;
}

/** The numbers of the colours of all values. */
export function levels(scale, values) {
  const found = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (Number.isNaN(value)) found[i] = MISSING;
    else if (!Number.isFinite(value)) found[i] = NONFINITE;
    else if (value === 0 && scale.kind === "log") found[i] = ZERO;
    else found[i] = 1 + Math.round(share(scale, position(scale, value)) * (STEPS - 1));
  }
  return found;
}

/** Place between 0 and 1 on the row of colours; a healthy band has the middle for itself. */
export function share(scale, at) {
  const cut = Math.min(Math.max(at, scale.low), scale.high);
  if (!scale.healthy) return (cut - scale.low) / (scale.high - scale.low);
  const [from, to] = scale.healthy;
  if (cut < from) return (0.44 * (cut - scale.low)) / (from - scale.low);
  if (cut > to) return 0.56 + (0.44 * (cut - to)) / (scale.high - to);
  return 0.44 + (0.12 * (cut - from)) / (to - from);
}

/** How far a colour is from the one of health; what is not finite comes first. */
export function strength(level, isDiverging) {
  if (level === MISSING) return -1;
  if (level === ZERO || level === NONFINITE) return level;
  return isDiverging ? Math.abs(level - (STEPS + 1) / 2) : level;
}

/** A colour of the table as CSS. */
export function css(color) {
  return `rgb(${color & 255} ${(color >> 8) & 255} ${(color >> 16) & 255})`;
}

function parsed(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

function packed([red, green, blue]) {
  return ((255 << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0;
}
